-- Another secret for a key: the only answer that holds it.
SELECT json_build_object(
    'id', k.id, 'name', k.name, 'key', r.secret, 'prefix', r.prefix, 'expires_at', k.expires_at,
    'old_until', now() + $2::interval)
FROM ferrobase.api_keys AS k, ferrobase.api_key_rotate(k.id, $2::interval) AS r
WHERE k.id = $1::uuid
