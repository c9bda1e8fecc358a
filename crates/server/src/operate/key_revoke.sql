-- The end of a key and of all its secrets.
UPDATE ferrobase.api_keys AS k
SET revoked_at = now()
WHERE k.id = $1::uuid AND k.revoked_at IS NULL
RETURNING json_build_object('id', k.id, 'name', k.name, 'revoked_at', k.revoked_at)
