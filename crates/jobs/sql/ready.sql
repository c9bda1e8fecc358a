-- Which queues have something to claim: one look into the index for each, so
-- it costs what the number of queues does, not what the number of jobs does.
WITH RECURSIVE found AS (
    (SELECT j.queue FROM work.jobs AS j WHERE j.state = 'queued' AND j.waiting_on IS NULL ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.queue FROM work.jobs AS j
        WHERE j.state = 'queued' AND j.waiting_on IS NULL AND j.queue > found.queue
        ORDER BY j.queue LIMIT 1)
    FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL LIMIT 1000
