-- Tells the other nodes, in a transaction that writes nothing.
SELECT pg_notify('ferrobase_work', $1)
