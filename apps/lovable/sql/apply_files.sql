-- Writes a turn's files while the job that does so is still this attempt's.
-- $1 session, $2 changes, $3 job, $4 its epoch. Caller: work::writing::apply.
SELECT work.write_files($1::uuid, $2::jsonb) FROM lovable.held($1::uuid, $3::uuid, $4::integer)
