-- Ends the turns of a session that are not over, the last one first so that
-- none begins meanwhile. $1 session. Caller: routes::sessions::stop.
SELECT coalesce(jsonb_agg(t.id), '[]') FROM (
    SELECT o.id, (SELECT count(*) FROM work.cancel(o.id, 'stopped by the user')) AS n
    FROM lovable.open_turns($1::uuid) AS o (id)
) AS t WHERE t.n > 0
