-- A session. $1 id.
SELECT to_jsonb(s) FROM work.sessions AS s WHERE s.id = $1::uuid
