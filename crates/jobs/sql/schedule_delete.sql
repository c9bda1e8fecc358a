-- Removes a schedule ($1): anybody's ($2), or the asker's own ($3).
SELECT work_engine.schedule_delete($1::uuid, $3::text, $2::boolean)
