-- Keeps that a step failed, and whether it has to be paid for all the same.
SELECT done::text FROM work_engine.step_fail($1::uuid, $2::integer, $3::text, $4::jsonb, $5::boolean) AS done
