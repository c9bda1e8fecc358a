-- Lets nothing start under a key of a job that the asker holds, for a while.
SELECT work_engine.pause_limit_of($1::uuid, $2::integer, $3::text, $4::bigint, $5::text)
