-- Notes it. $1 session, $2 hashes by path, $3 the package.json's hash.
-- Caller: work::install.
INSERT INTO lovable.boxes AS b (session_id, files, package) VALUES ($1::uuid, $2::jsonb, $3)
ON CONFLICT (session_id) DO UPDATE SET files = excluded.files, package = excluded.package, updated_at = clock_timestamp()
