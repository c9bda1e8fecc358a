-- What a browser set out to do, kept until it comes back.
INSERT INTO auth.flow_state (
    id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
    provider_access_token, provider_refresh_token, authentication_method, created_at, updated_at
)
VALUES ($1::uuid, $2::uuid, $3, $4::auth.code_challenge_method, $5, $6, '', '', $7, $8::timestamptz, $8::timestamptz)
