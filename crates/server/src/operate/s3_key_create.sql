-- A new access key of the S3 protocol, if there is such a role.
-- Callers: operate::s3_keys.
INSERT INTO storage_engine.s3_keys AS k (access_key, role, claims, reads, description)
SELECT $1::text, r.rolname, $3::jsonb, $4::boolean, $5::text
FROM pg_roles AS r
WHERE r.rolname = $2::text
RETURNING json_build_object('access_key', k.access_key, 'role', k.role, 'read_only', k.reads)
