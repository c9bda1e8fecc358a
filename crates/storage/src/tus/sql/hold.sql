-- Takes an upload for one request. $1 id, $2 holder, $3 for how long, $4 the
-- first name that a holder can have who is not known to be dead: names sort by
-- time.
UPDATE storage_engine.tus_uploads
SET holder = $2::uuid, held_until = now() + $3::interval, wanted = false
WHERE id = $1
  AND (holder IS NULL OR holder = $2::uuid OR held_until < now() OR holder < $4::uuid)
