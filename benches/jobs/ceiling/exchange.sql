-- Claims 500 in one transaction and completes them in the next.
WITH chosen AS MATERIALIZED (
    SELECT id FROM ceiling WHERE state = 'queued' ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE ceiling AS c
    SET state = 'running', epoch = epoch + 1, worker = 'raw', lease_until = clock_timestamp() + interval '30 seconds'
    FROM chosen WHERE c.id = chosen.id
    RETURNING c.id
) SELECT array_agg(id)::text AS ids FROM claimed \gset
UPDATE ceiling
SET state = 'completed', lease_until = NULL, finished_at = clock_timestamp(), output = 'null'
WHERE id = ANY (:ids::bigint[]) AND state = 'running' AND epoch = 1;
