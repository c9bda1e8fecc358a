-- The session that a state became. $1 and $2 as in migrate_session.sql.
SELECT s.id FROM work.sessions AS s
WHERE s.owner IS NOT DISTINCT FROM work.me() AND (s.id = $1::uuid OR s.key = $2::text)
ORDER BY s.id = $1::uuid DESC NULLS LAST LIMIT 1
