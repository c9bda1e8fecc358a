-- Access keys of the S3 protocol that are not revoked, oldest first.
-- Callers: operate::s3_keys.
SELECT json_build_object('access_key', k.access_key, 'role', k.role, 'read_only', k.reads,
    'description', k.description, 'created_at', k.created_at)
FROM storage_engine.s3_keys AS k
WHERE k.revoked_at IS NULL
ORDER BY k.created_at, k.access_key
