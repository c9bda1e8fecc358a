-- A passkey, unless somebody has that credential already.
INSERT INTO auth.webauthn_credentials (
    id, user_id, credential_id, public_key, attestation_type, aaguid, sign_count, transports, backup_eligible,
    backed_up, friendly_name, created_at, updated_at
)
VALUES (
    $1::uuid, $2::uuid, decode($3, 'base64'), decode($4, 'base64'), $5, $6::uuid, $7::bigint, $8::jsonb, $9::boolean,
    $10::boolean, $11, $12::timestamptz, $12::timestamptz
)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id
