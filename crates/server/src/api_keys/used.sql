-- Writes down when secrets were last used: two lists of the same length, hashes
-- in hex and seconds.
UPDATE ferrobase.api_key_secrets AS s
SET last_used_at = to_timestamp(used.at)
FROM unnest(string_to_array($1::text, ','), string_to_array($2::text, ',')::bigint[]) AS used (hash, at)
WHERE s.hash = decode(used.hash, 'hex')
  AND (s.last_used_at IS NULL OR s.last_used_at < to_timestamp(used.at))
