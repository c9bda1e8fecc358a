-- A user as one document, with identities and factors. A condition follows.
SELECT
    to_jsonb(u) || jsonb_build_object(
        'identities', (
            SELECT coalesce(jsonb_agg(to_jsonb(i) ORDER BY i.created_at, i.id), '[]')
            FROM auth.identities AS i
            WHERE i.user_id = u.id
        ),
        'factors', (
            SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.created_at, f.id), '[]')
            FROM auth.mfa_factors AS f
            WHERE f.user_id = u.id
        )
    )
FROM auth.users AS u
WHERE u.instance_id IS NOT DISTINCT FROM '00000000-0000-0000-0000-000000000000'
