-- Lets a job wait without a worker, unless what it waits for has come.
SELECT state, steps FROM work_engine.suspend($1::uuid, $2::integer, $3::jsonb, $4::text)
