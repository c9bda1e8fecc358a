-- What a user granted and has not taken back, newest first.
SELECT to_jsonb(g) || jsonb_build_object('client', to_jsonb(c))
FROM auth.oauth_consents AS g
INNER JOIN auth.oauth_clients AS c ON c.id = g.client_id
WHERE g.user_id = $1::uuid AND g.revoked_at IS NULL AND c.deleted_at IS NULL
ORDER BY g.granted_at DESC
LIMIT 1000
