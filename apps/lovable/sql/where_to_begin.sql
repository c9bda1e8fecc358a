-- The event behind which a watcher begins: where the oldest open turn began, or
-- the end. $1 session. Caller: ws::socket.
SELECT to_jsonb(coalesce(
    (SELECT min((j.labels ->> 'from_seq')::bigint) FROM work.jobs AS j WHERE j.id IN (SELECT lovable.open_turns($1::uuid))),
    (SELECT s.last_seq FROM work.streams AS s WHERE s.id = $1::uuid), 0))
