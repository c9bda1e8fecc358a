-- Ends uploads that are too old, oldest first, except those that somebody
-- holds. $1 now, $2 how many at most. What no object has gets a tombstone and
-- is returned.
WITH old AS (
    SELECT id
    FROM storage_engine.tus_uploads
    WHERE expires_at <= $1::timestamptz
      AND (holder IS NULL OR held_until < now())
    ORDER BY expires_at
    LIMIT $2::integer
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM storage_engine.tus_uploads AS u
    USING old
    WHERE u.id = old.id
    RETURNING u.blob, storage_engine.landed(u.blob) OR (u.finished_at IS NOT NULL AND u.kind <> 'partial') AS kept
), buried AS (
    INSERT INTO storage_engine.removed (version)
    SELECT blob::text FROM gone WHERE NOT kept
    ON CONFLICT DO NOTHING
)
SELECT CASE WHEN NOT kept THEN blob END FROM gone
