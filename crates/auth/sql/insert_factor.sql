-- A factor that nobody has shown yet.
INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret, phone)
VALUES ($1::uuid, $2::uuid, $3, $4::auth.factor_type, 'unverified', $5::timestamptz, $5::timestamptz, $6, $7)
