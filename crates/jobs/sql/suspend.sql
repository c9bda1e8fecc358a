-- Lets a job wait without a worker.
SELECT done::text FROM work_engine.suspend($1::uuid, $2::integer, $3::jsonb) AS done
