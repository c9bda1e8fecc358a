-- Forgets some of the jobs ($1) and trees (a tenth of it) that ended long ago.
SELECT work_engine.prune_plain($1::integer, $2::interval) + work_engine.prune($1::integer / 10, $2::interval)
