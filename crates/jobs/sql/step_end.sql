-- Keeps the result of a step, and says which result is kept.
SELECT outcome, winner FROM work_engine.step_end($1::uuid, $2::integer, $3::text, $4::jsonb, $5::numeric, $6::jsonb)
