-- Passkeys as documents, their bytes in base64. A condition follows.
SELECT
    to_jsonb(p) || jsonb_build_object(
        'credential_id', translate(encode(p.credential_id, 'base64'), E'\n', ''),
        'public_key', translate(encode(p.public_key, 'base64'), E'\n', '')
    )
FROM auth.webauthn_credentials AS p
WHERE p.user_id = $1::uuid
