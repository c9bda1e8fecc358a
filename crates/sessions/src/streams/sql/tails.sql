-- What is new in the streams that are watched here. Called by the hub.
SELECT stream_id, seq, job_id, kind, data, at
FROM work_engine.tails($1::uuid[], $2::bigint[], $3::integer)
