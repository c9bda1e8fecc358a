-- A factor is gone: what it proved in sessions is proved no more.
WITH won AS (
    SELECT s.id FROM auth.sessions AS s WHERE s.user_id = $1::uuid AND s.factor_id = $2::uuid
),
forgotten AS (
    DELETE FROM auth.mfa_amr_claims AS c
    USING won
    WHERE c.session_id = won.id AND c.authentication_method = $3
)
UPDATE auth.sessions AS s
SET aal = 'aal1', factor_id = NULL, updated_at = $4::timestamptz
FROM won
WHERE s.id = won.id
