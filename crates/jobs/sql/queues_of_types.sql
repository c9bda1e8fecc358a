-- Types that have a queue of their own.
SELECT name, queue FROM work.job_types WHERE queue <> 'default' LIMIT 10000
