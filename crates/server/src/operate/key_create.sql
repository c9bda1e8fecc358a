-- A new key: the only answer that holds its secret.
SELECT json_build_object(
    'id', c.id, 'name', $1::text, 'key', c.secret, 'prefix', c.prefix, 'expires_at', c.expires_at)
FROM ferrobase.api_key_create(
    $1::text, $2::text, $3::uuid, $4::jsonb, string_to_array($5::text, ','), $6::boolean,
    $7::integer, $8::interval, NULL) AS c
