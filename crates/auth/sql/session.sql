-- A session as one document, with the methods that were shown for it.
SELECT
    to_jsonb(s) || jsonb_build_object('amr', (
        SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.updated_at DESC), '[]')
        FROM auth.mfa_amr_claims AS c
        WHERE c.session_id = s.id
    ))
FROM auth.sessions AS s
WHERE s.id = $1::uuid
