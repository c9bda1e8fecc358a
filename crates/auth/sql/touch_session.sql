-- A session was refreshed, from where and by what.
UPDATE auth.sessions
SET refreshed_at = $2::timestamptz AT TIME ZONE 'utc', user_agent = $3, ip = $4::inet, updated_at = $2::timestamptz
WHERE id = $1::uuid
