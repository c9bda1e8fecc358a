-- Ends an upload, with a tombstone for bytes that no object has. $1 id, $2
-- holder.
WITH gone AS (
    DELETE FROM storage_engine.tus_uploads
    WHERE id = $1
      AND holder = $2::uuid
    RETURNING blob
), buried AS (
    INSERT INTO storage_engine.removed (version)
    SELECT blob::text FROM gone WHERE NOT storage_engine.landed(blob)
    ON CONFLICT DO NOTHING
)
SELECT blob FROM gone
