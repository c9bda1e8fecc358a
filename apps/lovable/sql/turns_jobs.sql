-- The jobs of the newest turns. $1 session. Caller: ws::socket.
SELECT coalesce(jsonb_agg(jsonb_build_object('id', j.id, 'name', coalesce(j.name, ''), 'turn', j.parent_id)), '[]')
FROM work.jobs AS j JOIN (
    SELECT t.id FROM work.jobs AS t WHERE t.session_id = $1::uuid AND t.type = 'lovable.turn'
    ORDER BY t.created_at DESC, t.id DESC LIMIT 10
) AS t ON t.id = j.parent_id
