-- A session as a conversation: the newest messages, in their order. $1 session.
SELECT to_jsonb(s) || jsonb_build_object('messages', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'key', m.key, 'role', m.role, 'content', m.content,
        'metadata', m.metadata, 'created_at', m.created_at) ORDER BY m.seq), '[]')
    FROM (
        SELECT * FROM work.messages AS m
        WHERE m.session_id = s.id AND m.superseded_at IS NULL AND m.role <> 'tool'
        ORDER BY m.seq DESC LIMIT 50) AS m))
FROM work.sessions AS s WHERE s.id = $1::uuid
