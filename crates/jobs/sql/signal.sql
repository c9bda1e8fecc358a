-- Sends a signal to a job that the asker may see: anybody's ($2), or its own.
SELECT sent.id, sent.is_new
FROM work.jobs AS j
CROSS JOIN LATERAL work_engine.signal(j.id, $4::text, $5::jsonb, $6::text) AS sent
WHERE j.id = $1::uuid AND ($2::boolean OR j.owner = $3::text)
