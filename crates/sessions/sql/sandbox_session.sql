-- A session that the caller may change, and whose it is. $1 session. Asked
-- before a sandbox is made in it.
SELECT s.owner IS NULL, s.owner FROM work.sessions AS s
WHERE s.id = $1::uuid AND s.status <> 'deleted' FOR KEY SHARE
