-- What a job made and which tools it used, as rows are in the original. Of `j`.
jsonb_build_object(
    'artifacts', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'job_id', a.job_id, 'type', a.type, 'uri', a.uri,
            'size', a.size, 'metadata', a.metadata, 'created_at', a.created_at) ORDER BY a.created_at, a.id), '[]')
        FROM (SELECT * FROM work.artifacts AS a WHERE a.job_id = j.id ORDER BY a.created_at, a.id LIMIT 1000) AS a),
    'toolRuns', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'job_id', r.job_id, 'tool', r.tool,
            'input', coalesce(r.input, '{}'), 'output', coalesce(r.output, '{}'), 'error', r.error,
            'created_at', r.created_at, 'duration_ms', r.duration_ms) ORDER BY r.created_at, r.id), '[]')
        FROM (SELECT * FROM work.tool_runs AS r WHERE r.job_id = j.id ORDER BY r.created_at, r.id LIMIT 1000) AS r))
