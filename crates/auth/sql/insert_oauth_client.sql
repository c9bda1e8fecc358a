-- A client is registered.
INSERT INTO auth.oauth_clients AS c (
    id, client_secret_hash, registration_type, redirect_uris, grant_types, client_name, client_uri, logo_uri,
    created_at, updated_at, client_type, token_endpoint_auth_method
)
VALUES (
    $1::uuid, $2, $3::auth.oauth_registration_type, $4, $5, nullif($6, ''), nullif($7, ''), nullif($8, ''),
    $9::timestamptz, $9::timestamptz, $10::auth.oauth_client_type, $11
)
RETURNING to_jsonb(c)
