-- A step of a job as a row of tasks is in the original, with the lines that the
-- job logged for it. Of `t`.
jsonb_build_object('id', t.idempotency_token, 'job_id', t.job_id, 'name', t.key,
    'state', CASE t.state WHEN 'started' THEN 'running' WHEN 'waiting' THEN 'pending' WHEN 'done' THEN 'completed' ELSE 'failed' END,
    'logs', coalesce((
        SELECT jsonb_agg(e.data ->> 'message' ORDER BY e.seq)
        FROM work.events AS e JOIN work.jobs AS j ON j.id = t.job_id
        WHERE e.stream_id = j.stream_id AND e.job_id = t.job_id AND e.kind = 'job.log' AND e.data ->> 'step' = t.key), '[]'),
    'started_at', t.started_at, 'finished_at', t.finished_at)
