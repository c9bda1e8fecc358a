-- A sandbox of a session, as its provider calls it: new, or seen again.
-- $1 session, $2 the fields. By sandboxes_provider.
INSERT INTO work.sandboxes AS b (session_id, sandbox_id, url, status, metadata)
SELECT $1::uuid, f ->> 'sandbox_id', f ->> 'url', coalesce(f ->> 'status', 'active'),
    coalesce(nullif(f -> 'metadata', 'null'), '{}')
FROM (SELECT $2::jsonb AS f) AS g
ON CONFLICT (session_id, sandbox_id) DO UPDATE
SET url = coalesce(excluded.url, b.url), status = excluded.status, metadata = b.metadata || excluded.metadata,
    last_seen_at = clock_timestamp()
RETURNING to_jsonb(b)
