-- Installs and shows what the files are now; with a build that waits or runs,
-- that one. $1 session. Caller: turns::refresh.
SELECT to_jsonb(coalesce((SELECT o.id FROM lovable.open_turns(s.id) AS o (id) LIMIT 1), lovable.begin_refresh(s.id, 'Build')))
FROM lovable.sessions AS s WHERE s.id = $1::uuid AND s.user_id = work.me()
