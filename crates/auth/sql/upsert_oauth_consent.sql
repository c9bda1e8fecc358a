-- A user allows a client some scopes, in place of those before.
INSERT INTO auth.oauth_consents (id, user_id, client_id, scopes, granted_at)
VALUES ($1::uuid, $2::uuid, $3::uuid, $4, $5::timestamptz)
ON CONFLICT (user_id, client_id) DO UPDATE
SET scopes = excluded.scopes, granted_at = excluded.granted_at, revoked_at = NULL
