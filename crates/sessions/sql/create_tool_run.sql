-- Keeps that a tool was used. $1 session, $2 the fields.
INSERT INTO work.tool_runs AS t (session_id, job_id, tool, input, output, error, duration_ms)
SELECT $1::uuid, (f ->> 'job_id')::uuid, f ->> 'tool', f -> 'input', f -> 'output', f ->> 'error',
    coalesce((f ->> 'duration_ms')::integer, 0)
FROM (SELECT $2::jsonb AS f) AS g
RETURNING to_jsonb(t)
