-- Messages that are in force at one of two moments and not at the other. $1 a
-- checkpoint; $2 another, or null for now. Null when there is no such
-- checkpoint, or when the two are of different sessions. By messages_seq.
SELECT jsonb_build_object(
    'added', coalesce((
        SELECT jsonb_agg(to_jsonb(m) - 'search' ORDER BY m.seq) FROM (
            SELECT * FROM work.messages AS m
            WHERE m.session_id = a.session_id AND NOT m.seq <@ a.messages
              AND CASE WHEN $2::uuid IS NULL THEN m.superseded_at IS NULL ELSE m.seq <@ b.messages END
            ORDER BY m.seq LIMIT 1000) AS m), '[]'),
    'removed', coalesce((
        SELECT jsonb_agg(to_jsonb(m) - 'search' ORDER BY m.seq) FROM (
            SELECT * FROM work.messages AS m
            WHERE m.session_id = a.session_id AND m.seq <@ a.messages
              AND CASE WHEN $2::uuid IS NULL THEN m.superseded_at IS NOT NULL ELSE NOT m.seq <@ b.messages END
            ORDER BY m.seq LIMIT 1000) AS m), '[]'))
FROM work.checkpoints AS a LEFT JOIN work.checkpoints AS b ON b.id = $2::uuid
WHERE a.id = $1::uuid AND ($2::uuid IS NULL OR b.session_id = a.session_id)
