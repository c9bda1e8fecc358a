-- Lets go of an upload. $1 id, $2 holder.
UPDATE storage_engine.tus_uploads
SET holder = NULL, held_until = NULL
WHERE id = $1
  AND holder = $2::uuid
