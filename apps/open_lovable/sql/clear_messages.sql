-- Deletes all messages of a session but the newest. $1 session, $2 how many stay.
DELETE FROM work.messages AS m
WHERE m.session_id = $1::uuid AND m.seq < (
    SELECT min(k.seq) FROM (
        SELECT n.seq FROM work.messages AS n WHERE n.session_id = $1::uuid AND n.superseded_at IS NULL
        ORDER BY n.seq DESC LIMIT $2::bigint) AS k)
