-- Keeps where something is that was made. $1 session, $2 the fields.
INSERT INTO work.artifacts AS a (session_id, job_id, type, name, uri, size, sha256, metadata)
SELECT $1::uuid, (f ->> 'job_id')::uuid, f ->> 'type', f ->> 'name', f ->> 'uri', coalesce((f ->> 'size')::bigint, 0),
    f ->> 'sha256', coalesce(nullif(f -> 'metadata', 'null'), '{}')
FROM (SELECT $2::jsonb AS f) AS g
RETURNING to_jsonb(a)
