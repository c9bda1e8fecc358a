-- Forgets some of the trees that ended long ago.
SELECT work_engine.prune($1::integer, $2::interval)
