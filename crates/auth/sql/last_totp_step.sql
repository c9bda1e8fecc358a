-- The newest thirty-second step whose code this factor has honoured. It is
-- written beside the challenge that the code answered; challenges stay for a
-- day, and a code is good for a minute and a half.
SELECT max(c.otp_code::bigint)
FROM auth.mfa_challenges AS c
WHERE c.factor_id = $1::uuid
    AND c.verified_at IS NOT NULL
    AND c.otp_code ~ '^[0-9]{1,18}$'
