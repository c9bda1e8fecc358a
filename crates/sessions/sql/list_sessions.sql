-- The caller's sessions, latest change first, and how many there are in all.
-- $1 status, or null for all that are not deleted; $2 key; $3 limit; $4 offset.
-- By sessions_owner.
SELECT jsonb_build_object(
    'sessions', coalesce((
        SELECT jsonb_agg(to_jsonb(p) ORDER BY p.updated_at DESC, p.id DESC) FROM (
            SELECT * FROM work.sessions AS s
            WHERE CASE WHEN $1::text IS NULL THEN s.status <> 'deleted' ELSE s.status = $1::text END
              AND ($2::text IS NULL OR s.key = $2::text)
            ORDER BY s.updated_at DESC, s.id DESC LIMIT $3::bigint OFFSET $4::bigint
        ) AS p), '[]'),
    'total', (
        SELECT count(*) FROM work.sessions AS s
        WHERE CASE WHEN $1::text IS NULL THEN s.status <> 'deleted' ELSE s.status = $1::text END
          AND ($2::text IS NULL OR s.key = $2::text)),
    'limit', $3::bigint, 'offset', $4::bigint)
