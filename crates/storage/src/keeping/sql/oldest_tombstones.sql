-- At most $1 tombstones, locked: several nodes share the work. Asked by the sweeper.
SELECT version
FROM storage_engine.removed
ORDER BY removed_at
LIMIT $1::integer
FOR UPDATE SKIP LOCKED
