-- Appends those messages of a state that its session does not have yet. $1 and
-- $2 as in migrate_session.sql; $3 messages.
SELECT count(*)
FROM (
    SELECT s.id, (
        SELECT jsonb_agg(t.item ORDER BY t.n)
        FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS t (item, n)
        WHERE NOT EXISTS (
            SELECT FROM work.messages AS m
            WHERE m.session_id = s.id AND (m.key = t.item ->> 'key' OR m.id::text = t.item ->> 'key'))) AS fresh
    FROM work.sessions AS s
    WHERE s.owner IS NOT DISTINCT FROM work.me() AND (s.id = $1::uuid OR s.key = $2::text)
    ORDER BY s.id = $1::uuid DESC NULLS LAST LIMIT 1
) AS g
CROSS JOIN LATERAL work.append_messages(g.id, g.fresh) AS m
WHERE g.fresh IS NOT NULL
