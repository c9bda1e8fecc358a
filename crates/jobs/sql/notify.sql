-- Tells the other nodes, in a transaction of its own: within one that writes,
-- it would keep others from committing meanwhile.
SELECT pg_notify('ferrobase_work', $1::text)
