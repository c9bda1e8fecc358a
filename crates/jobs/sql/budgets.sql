-- A job's budgets ($1), if the asker may see the job.
SELECT coalesce((SELECT jsonb_agg(to_jsonb(b) ORDER BY b.unit) FROM work.budgets AS b WHERE b.job_id = j.id), '[]')
FROM work.jobs AS j
WHERE j.id = $1::uuid AND ($2::boolean OR j.owner = $3::text)
