-- Milliseconds until the next job or wait is due by the database's clock; none
-- if none is.
SELECT (extract(epoch FROM least(
    (SELECT min(due_at) FROM work.jobs WHERE due_at IS NOT NULL),
    (SELECT min(due_at) FROM work.steps WHERE state = 'waiting' AND due_at IS NOT NULL)
) - clock_timestamp()) * 1000)::bigint
