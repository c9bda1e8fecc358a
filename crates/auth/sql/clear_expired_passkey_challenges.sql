-- A few of the questions that nobody answered in time. Anybody may have one
-- asked, so each that asks clears away more than it adds.
DELETE FROM auth.webauthn_challenges
WHERE id IN (
    SELECT c.id
    FROM auth.webauthn_challenges AS c
    WHERE c.expires_at < $1::timestamptz
    ORDER BY c.expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
