-- Every secret that may be shown now, and what its key means. The project's own
-- keys come first, so that users' cannot push them out; a user who was banned or
-- deleted has none.
SELECT encode(s.hash, 'hex'),
       s.prefix,
       k.role,
       (k.claims
           || CASE WHEN k.sub IS NULL THEN '{}'::jsonb
                   ELSE jsonb_build_object('sub', k.sub) END
           || jsonb_build_object(
               'role', k.role,
               'scopes', to_jsonb(k.scopes),
               'api_key', jsonb_build_object('id', k.id, 'name', k.name)))::text,
       array_to_string(k.scopes, ' '),
       k.read_only,
       k.per_minute,
       ceil(extract(epoch FROM least(s.expires_at, k.expires_at)))::bigint,
       k.id
FROM ferrobase.api_key_secrets AS s
JOIN ferrobase.api_keys AS k ON k.id = s.key_id
WHERE k.revoked_at IS NULL
  AND (s.expires_at IS NULL OR s.expires_at > now())
  AND (k.expires_at IS NULL OR k.expires_at > now())
  AND (k.owner IS NULL OR EXISTS (
      SELECT FROM auth.users AS u
      WHERE u.id = k.owner AND u.deleted_at IS NULL
        AND (u.banned_until IS NULL OR u.banned_until <= now())))
ORDER BY k.owner IS NOT NULL, s.last_used_at DESC NULLS LAST, s.created_at
LIMIT 20001
