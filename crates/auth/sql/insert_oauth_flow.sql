-- A browser sets out to a provider. Its state is the row's id.
INSERT INTO auth.flow_state (
    id, provider_type, authentication_method, auth_code, code_challenge_method, code_challenge,
    invite_token, referrer, oauth_client_state_id, linking_target_id, email_optional,
    provider_access_token, provider_refresh_token, created_at, updated_at
)
VALUES (
    $1::uuid, $2, 'oauth', $3, $4::auth.code_challenge_method, $5,
    $6, $7, $8::uuid, $9::uuid, $10::boolean,
    '', '', $11::timestamptz, $11::timestamptz
)
