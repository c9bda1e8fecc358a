-- A step's result. $1 the turn, $2 the job's name, $3 the step's key.
-- Caller: work::Turn::result_of.
SELECT t.result FROM work.jobs AS j JOIN work.steps AS t ON t.job_id = j.id
WHERE j.parent_id = $1::uuid AND j.name = $2 AND t.key = $3 AND t.state = 'done'
