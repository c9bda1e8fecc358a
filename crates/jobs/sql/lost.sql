-- Which of these claims no longer hold. Only reads, so that it can be asked
-- often; the heartbeat says why.
SELECT held.id
FROM unnest($1::uuid[], $2::integer[]) AS held (id, epoch)
LEFT JOIN work.jobs AS j ON j.id = held.id
WHERE j.state IS DISTINCT FROM 'running' OR j.waiting_on IS NOT NULL OR j.epoch <> held.epoch
