-- Tells whoever holds an upload that another request waits. $1 id, $2 the one
-- who waits.
UPDATE storage_engine.tus_uploads
SET wanted = true
WHERE id = $1
  AND holder <> $2::uuid
  AND NOT wanted
