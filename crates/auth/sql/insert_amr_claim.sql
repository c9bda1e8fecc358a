-- What was shown for a session; shown again, it is as fresh as now.
INSERT INTO auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
VALUES ($1::uuid, $2::uuid, $3::timestamptz, $3::timestamptz, $4)
ON CONFLICT ON CONSTRAINT mfa_amr_claims_session_id_authentication_method_pkey
DO UPDATE SET updated_at = excluded.updated_at
