-- Changes fields ($4) of a schedule ($1): anybody's ($2), or the asker's own ($3).
SELECT to_jsonb(s) FROM work_engine.schedule_update($1::uuid, $3::text, $2::boolean, $4::jsonb) AS s
