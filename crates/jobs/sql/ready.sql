-- Which queues have something to claim: one look into the index for each, so
-- it costs what the number of queues does, not what the number of jobs does.
WITH RECURSIVE found AS (
    (SELECT l.queue FROM work_engine.line AS l ORDER BY l.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT l.queue FROM work_engine.line AS l WHERE l.queue > found.queue ORDER BY l.queue LIMIT 1)
    FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL LIMIT 1000
