-- A client asks for a user's consent. What nobody answered in time goes.
WITH gone AS (
    DELETE FROM auth.oauth_authorizations
    WHERE id IN (SELECT id FROM auth.oauth_authorizations WHERE expires_at < $13::timestamptz LIMIT 100)
)

INSERT INTO auth.oauth_authorizations (
    id, authorization_id, client_id, redirect_uri, scope, state, resource, code_challenge, code_challenge_method,
    nonce, created_at, expires_at
)
VALUES (
    $1::uuid, $2, $3::uuid, $4, $5, nullif($6, ''), nullif($7, ''), $8, $9::auth.code_challenge_method,
    nullif($10, ''), $11::timestamptz, $12::timestamptz
)
