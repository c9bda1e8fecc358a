-- Ends an access key of the S3 protocol.
-- Callers: operate::s3_keys.
UPDATE storage_engine.s3_keys AS k
SET revoked_at = now()
WHERE k.access_key = $1::text AND k.revoked_at IS NULL
RETURNING json_build_object('access_key', k.access_key, 'revoked_at', k.revoked_at)
