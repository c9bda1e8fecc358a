-- Ends claims.
SELECT id, state
FROM work_engine.finish($1::uuid[], $2::integer[], $3::text[], $4::jsonb[], $5::jsonb[], $6::boolean[], $7::interval[])
