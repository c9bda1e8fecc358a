-- Locks jobs in the order in which everybody does, before several statements of
-- one transaction would lock them one group after the other. Store::heartbeat.
SELECT count(*) FROM (SELECT FROM work.jobs AS j WHERE j.id = ANY ($1::uuid[]) ORDER BY j.id FOR NO KEY UPDATE) AS l
