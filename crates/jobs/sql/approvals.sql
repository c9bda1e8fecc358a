-- What waits for the asker's answer: of everybody ($1), or what was asked of it.
SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.created_at, a.id), '[]')
FROM (
    SELECT * FROM work.approvals
    WHERE state = 'pending' AND ($1::boolean OR owner = $2::text OR assignee = $2::text)
    ORDER BY created_at, id LIMIT $3::integer
) AS a
