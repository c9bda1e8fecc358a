-- One more way for a user to sign in.
INSERT INTO auth.identities (id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
VALUES ($1::uuid, $2, $3::uuid, $4::jsonb, $5, $6::timestamptz, $6::timestamptz, $6::timestamptz)
