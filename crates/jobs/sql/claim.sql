-- Takes jobs for a worker.
SELECT id, root_id, parent_id, session_id, stream_id, owner, type, name, epoch, failures, input, queue, lease_ms, steps
FROM work_engine.claim($1::text, $2::text[], $3::text[], $4::text, $5::boolean, $6::integer, $7::interval, $8::text)
