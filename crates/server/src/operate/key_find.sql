-- The key that somebody means: by id, by the name of one of the project's, or
-- by the prefix of a secret.
SELECT k.id
FROM ferrobase.api_keys AS k
WHERE k.revoked_at IS NULL
  AND (k.id::text = $1::text
       OR (k.owner IS NULL AND k.name = $1::text)
       OR EXISTS (SELECT FROM ferrobase.api_key_secrets AS s WHERE s.key_id = k.id AND s.prefix = $1::text))
ORDER BY (k.id::text = $1::text) DESC, (k.name = $1::text) DESC
LIMIT 1
