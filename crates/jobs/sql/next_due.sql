-- Milliseconds until the next job is due by the database's clock; none if none is.
SELECT (extract(epoch FROM min(run_at) - clock_timestamp()) * 1000)::bigint
FROM work.jobs
WHERE waiting_on IN ('time', 'retry', 'timer') AND state IN ('queued', 'running')
