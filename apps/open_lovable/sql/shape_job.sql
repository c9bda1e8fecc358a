-- A job as its row is in the original. Of `j`.
jsonb_build_object('id', j.id, 'session_id', j.session_id, 'type', j.type, 'state', j.state,
    'input', coalesce(j.input, '{}'), 'output', coalesce(j.output, '{}'),
    'error', CASE jsonb_typeof(j.error) WHEN 'object' THEN coalesce(j.error ->> 'message', j.error ->> 'code', j.error::text)
        ELSE j.error #>> '{}' END,
    'created_at', j.created_at, 'updated_at', j.updated_at,
    'parent_job_id', coalesce(j.parent_id::text, j.labels ->> 'parent_job_id'))
