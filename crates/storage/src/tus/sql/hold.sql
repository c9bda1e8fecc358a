-- Takes an upload for one request. $1 id, $2 holder, $3 for how long, $4 whether
-- every other holder must be dead: there is one node and this is it.
UPDATE storage_engine.tus_uploads
SET holder = $2::uuid, held_until = now() + $3::interval, wanted = false
WHERE id = $1
  AND (holder IS NULL OR holder = $2::uuid OR held_until < now() OR $4::boolean)
