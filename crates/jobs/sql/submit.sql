-- Submits jobs, all of them or none; the answers come in the order of the question.
SELECT id, is_new, state FROM work_engine.submit($1::jsonb) ORDER BY ordinal
