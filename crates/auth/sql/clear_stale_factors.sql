-- A user's factors that were given up: never challenged for a while, or not
-- verified within a day.
DELETE FROM auth.mfa_factors AS f
WHERE f.user_id = $1::uuid
    AND f.status <> 'verified'
    AND (
        f.created_at < $2::timestamptz - interval '24 hours'
        OR (
            f.created_at < $3::timestamptz
            AND NOT EXISTS (SELECT FROM auth.mfa_challenges AS c WHERE c.factor_id = f.id)
        )
    )
