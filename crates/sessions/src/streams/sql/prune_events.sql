-- Deletes streams that belong to nobody, and chunks older than $2 when given.
SELECT work_engine.prune_events($1::integer, $2::interval)
