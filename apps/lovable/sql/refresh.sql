-- Installs and shows what the files are now; with a build that waits or runs,
-- that one. $1 session. Caller: turns::refresh.
SELECT to_jsonb(lovable.begin_refresh(s.id, 'Build', true))
FROM lovable.sessions AS s WHERE s.id = $1::uuid AND s.user_id = work.me()
