-- The caller's sessions, the last changed first. Caller: routes::sessions::list.
SELECT coalesce(jsonb_agg(jsonb_build_object('id', l.id, 'session_id', l.session_id, 'title', l.title,
    'updated_at', l.updated_at, 'running', EXISTS (SELECT FROM lovable.open_turns(l.id))) ORDER BY l.updated_at DESC, l.id), '[]')
FROM (
    SELECT s.id, s.session_id, w.title, w.updated_at FROM lovable.sessions AS s JOIN work.sessions AS w ON w.id = s.id
    WHERE s.user_id = work.me() ORDER BY w.updated_at DESC, s.id LIMIT 50
) AS l
