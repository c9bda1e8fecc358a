-- Every key that is not revoked, with what is known of its secrets.
SELECT json_build_object(
    'id', k.id, 'name', k.name, 'role', k.role, 'sub', k.sub, 'claims', k.claims, 'scopes', k.scopes,
    'read_only', k.read_only, 'per_minute', k.per_minute, 'owner', k.owner,
    'created_at', k.created_at, 'expires_at', k.expires_at,
    'expired', coalesce(k.expires_at <= now(), false),
    'secrets', coalesce((
        SELECT json_agg(json_build_object(
            'prefix', s.prefix, 'created_at', s.created_at, 'expires_at', s.expires_at,
            'last_used_at', s.last_used_at) ORDER BY s.created_at DESC)
        FROM ferrobase.api_key_secrets AS s
        WHERE s.key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > now())), '[]'))
FROM ferrobase.api_keys AS k
WHERE k.revoked_at IS NULL
ORDER BY k.owner IS NOT NULL, k.name, k.created_at
LIMIT 1000
