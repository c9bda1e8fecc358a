-- One schedule ($1) with its last fires ($4), if the asker may see it.
SELECT to_jsonb(s) || jsonb_build_object('fires', coalesce((
        SELECT jsonb_agg(to_jsonb(f) - 'schedule_id' ORDER BY f.fire_at DESC)
        FROM (SELECT * FROM work.schedule_fires WHERE schedule_id = s.id ORDER BY fire_at DESC LIMIT $4::integer) AS f
    ), '[]'))
FROM work.schedules AS s
WHERE s.id = $1::uuid AND ($2::boolean OR s.owner = $3::text)
