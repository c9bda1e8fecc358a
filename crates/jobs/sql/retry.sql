-- The verb, for a job that the asker may change: anybody's ($2), or its owner's.
SELECT c.id, c.state
FROM work.jobs AS j CROSS JOIN LATERAL work_engine.retry(j.id) AS c
WHERE j.id = $1::uuid AND ($2::boolean OR j.owner = $3::text)
