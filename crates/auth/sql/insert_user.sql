-- A new user. Tokens are empty and not NULL: GoTrue cannot read NULL there.
INSERT INTO auth.users (
    instance_id, id, aud, role, email, phone, encrypted_password,
    raw_app_meta_data, raw_user_meta_data, is_anonymous, is_sso_user,
    confirmation_token, recovery_token, email_change_token_new, email_change_token_current,
    email_change, phone_change, phone_change_token, reauthentication_token,
    created_at, updated_at
)
VALUES (
    '00000000-0000-0000-0000-000000000000', $1::uuid, $2, $3, nullif($4, ''), nullif($5, ''), $6,
    $7::jsonb, $8::jsonb, $9::boolean, $10::boolean,
    '', '', '', '',
    '', '', '', '',
    $11::timestamptz, $11::timestamptz
)
