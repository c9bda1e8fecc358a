-- A challenge of a factor, and when its factor was challenged last. That
-- moment is unique by GoTrue's schema: one that is taken is moved by less than
-- a millisecond.
WITH challenged AS (
    UPDATE auth.mfa_factors
    SET last_challenged_at = $3::timestamptz + CASE
        WHEN EXISTS (SELECT FROM auth.mfa_factors AS taken WHERE taken.last_challenged_at = $3::timestamptz)
            THEN make_interval(secs => random() / 1000)
        ELSE '0'
    END
    WHERE id = $2::uuid
)
INSERT INTO auth.mfa_challenges (id, factor_id, created_at, ip_address, otp_code, web_authn_session_data)
VALUES ($1::uuid, $2::uuid, $3::timestamptz, $4::inet, $5, $6::jsonb)
