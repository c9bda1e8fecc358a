-- Schedules: everybody's ($1), or the owner's; the last to be made first.
SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.created_at DESC, s.id), '[]')
FROM (
    SELECT * FROM work.schedules WHERE $1::boolean OR owner = $2::text
    ORDER BY created_at DESC, id LIMIT $3::integer
) AS s
