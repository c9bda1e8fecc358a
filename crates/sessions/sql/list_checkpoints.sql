-- The checkpoints of a session, newest first. $1 session, $2 limit, $3 offset.
-- Null when there is no such session. By checkpoints_session.
SELECT jsonb_build_object(
    'checkpoints', coalesce((
        SELECT jsonb_agg(to_jsonb(p) - 'messages' ORDER BY p.created_at DESC, p.id DESC) FROM (
            SELECT * FROM work.checkpoints AS c WHERE c.session_id = s.id
            ORDER BY c.created_at DESC, c.id DESC LIMIT $2::bigint OFFSET $3::bigint) AS p), '[]'),
    'total', (SELECT count(*) FROM work.checkpoints AS c WHERE c.session_id = s.id))
FROM work.sessions AS s WHERE s.id = $1::uuid
