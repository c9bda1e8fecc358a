-- Forgets some jobs and trees ($1) that ended long ago.
SELECT work_engine.prune($1::integer, $2::interval)
