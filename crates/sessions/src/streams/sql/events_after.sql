-- A page of one stream, by the primary key. Called by watchers that lag.
SELECT stream_id, seq, job_id, kind, data, at
FROM work_engine.events_after($1::uuid, $2::bigint, $3::integer, $4::integer)
