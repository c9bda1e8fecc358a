-- A sandbox as its row is in the original. Of `b`.
jsonb_build_object('id', b.id, 'session_id', b.session_id, 'sandbox_id', b.sandbox_id, 'url', coalesce(b.url, ''),
    'status', b.status, 'last_seen_at', b.last_seen_at, 'metadata', b.metadata)
