-- Submits children of a job that somebody holds; a stale claim makes none.
SELECT id, is_new, state FROM work_engine.spawn($1::uuid, $2::integer, $3::jsonb) ORDER BY ordinal
