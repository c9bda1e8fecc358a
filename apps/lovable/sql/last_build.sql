-- The last build of a session: its preview job decides, what was printed is the
-- install job's. At most a hundred lines. $1 session. Caller: routes::previews.
SELECT jsonb_build_object(
    'state', CASE WHEN i.state = 'failed' THEN 'failed' ELSE p.state END,
    'url', p.output ->> 'url',
    'error', coalesce(i.error ->> 'message', p.error ->> 'message', p.output ->> 'skipped', p.reason),
    'build_time', extract(epoch FROM p.finished_at - i.started_at),
    'logs', (
        SELECT coalesce(jsonb_agg(l.line ORDER BY l.seq, l.n), '[]') FROM (
            SELECT e.seq, t.n, t.line FROM work.events AS e
            CROSS JOIN LATERAL unnest(string_to_array(e.data ->> 'message', E'\n')) WITH ORDINALITY AS t (line, n)
            WHERE e.stream_id = $1::uuid AND e.job_id = i.id AND e.kind = 'job.log'
            ORDER BY e.seq DESC, t.n DESC LIMIT 100
        ) AS l))
FROM work.jobs AS p JOIN work.jobs AS i ON i.parent_id = p.parent_id AND i.type = 'lovable.install'
WHERE p.session_id = $1::uuid AND p.type = 'lovable.preview'
ORDER BY p.created_at DESC, p.id DESC LIMIT 1
