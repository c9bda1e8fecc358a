-- Nothing more can happen to an upload that is full. $1 id, $2 holder.
UPDATE storage_engine.tus_uploads
SET finished_at = now()
WHERE id = $1
  AND holder = $2::uuid
  AND "offset" = length
