-- Answers what a job asked, if it asked the asker: anybody may ($2), or the
-- owner and whoever it was given to.
SELECT done.job_id, done.step_key, done.state
FROM work.approvals AS a
CROSS JOIN LATERAL work_engine.answer(a.id, $4::jsonb, $3::text) AS done
WHERE a.id = $1::uuid AND ($2::boolean OR a.owner = $3::text OR a.assignee = $3::text)
