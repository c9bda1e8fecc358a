-- Counts bytes that are durable now, and holds on. $1 id, $2 holder, $3 offset,
-- $4 length if it was said now, $5 when it expires, $6 for how long it is held.
-- No row: somebody else holds it.
UPDATE storage_engine.tus_uploads
SET "offset" = $3::bigint, length = coalesce(length, $4::bigint), expires_at = $5::timestamptz,
    held_until = now() + $6::interval
WHERE id = $1
  AND holder = $2::uuid
  AND "offset" <= $3::bigint
  AND finished_at IS NULL
RETURNING wanted
