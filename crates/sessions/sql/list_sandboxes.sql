-- The sandboxes of a session, last seen first. $1 session. Null when there is
-- no such session. By sandboxes_provider.
SELECT jsonb_build_object('sandboxes', coalesce((
    SELECT jsonb_agg(to_jsonb(b) ORDER BY b.last_seen_at DESC, b.id DESC) FROM (
        SELECT * FROM work.sandboxes AS b WHERE b.session_id = s.id
        ORDER BY b.last_seen_at DESC, b.id DESC LIMIT 100) AS b), '[]'))
FROM work.sessions AS s WHERE s.id = $1::uuid
