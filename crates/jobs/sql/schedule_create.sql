-- Makes a schedule of these fields ($2) for an owner ($1).
SELECT to_jsonb(s) FROM work_engine.schedule_create($1::text, $2::jsonb) AS s
