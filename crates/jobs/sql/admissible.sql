-- Refuses a submission that names sessions or jobs of somebody else.
SELECT work_engine.admissible($1::text, $2::jsonb)
