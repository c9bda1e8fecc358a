-- The caller's sandboxes that are not over, newest first. $1 limit, $2 offset.
SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.created_at DESC, p.id DESC), '[]') FROM (
    SELECT b.* FROM work.sandboxes AS b JOIN work.sessions AS s ON s.id = b.session_id
    WHERE b.kind = 'own' AND b.status IN ('active', 'paused') AND s.status <> 'deleted'
    ORDER BY b.created_at DESC, b.id DESC LIMIT $1::bigint OFFSET $2::bigint) AS p
