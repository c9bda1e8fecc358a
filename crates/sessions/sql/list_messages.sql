-- A window of a session's messages, oldest first, with cursors to both sides.
-- $1 session; $2 those after this number, oldest of them; $3 else those before
-- this one, or the newest without it; $4 with superseded ones; $5 limit. Null
-- when there is no such session. By messages_seq.
WITH page AS (
    (SELECT * FROM work.messages AS m
     WHERE m.session_id = $1::uuid AND m.seq > $2::bigint AND ($4::boolean OR m.superseded_at IS NULL)
     ORDER BY m.seq LIMIT $5::bigint)
    UNION ALL
    (SELECT * FROM work.messages AS m
     WHERE $2::bigint IS NULL AND m.session_id = $1::uuid AND ($4::boolean OR m.superseded_at IS NULL)
       AND m.seq < coalesce($3::bigint, 9223372036854775807)
     ORDER BY m.seq DESC LIMIT $5::bigint)
), ends AS (
    SELECT min(p.seq) AS first, max(p.seq) AS last FROM page AS p
)
SELECT jsonb_build_object(
    'messages', coalesce((SELECT jsonb_agg(to_jsonb(p) - 'search' ORDER BY p.seq) FROM page AS p), '[]'),
    'total', (SELECT count(*) FROM work.messages AS m
              WHERE m.session_id = s.id AND ($4::boolean OR m.superseded_at IS NULL)),
    'before', (SELECT e.first FROM ends AS e WHERE EXISTS (
        SELECT FROM work.messages AS m
        WHERE m.session_id = s.id AND m.seq < e.first AND ($4::boolean OR m.superseded_at IS NULL))),
    'after', (SELECT e.last FROM ends AS e WHERE EXISTS (
        SELECT FROM work.messages AS m
        WHERE m.session_id = s.id AND m.seq > e.last AND ($4::boolean OR m.superseded_at IS NULL))))
FROM work.sessions AS s WHERE s.id = $1::uuid
