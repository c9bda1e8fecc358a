-- A session begins.
INSERT INTO auth.sessions (
    id, user_id, created_at, updated_at, factor_id, aal, not_after, user_agent, ip, tag, oauth_client_id, scopes
)
VALUES (
    $1::uuid, $2::uuid, $3::timestamptz, $3::timestamptz, $4::uuid, 'aal1', $5::timestamptz, $6, $7::inet, $8,
    $9::uuid, $10
)
