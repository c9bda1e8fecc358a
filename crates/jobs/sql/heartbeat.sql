-- Extends leases and says who must stop.
SELECT id, directive
FROM work_engine.heartbeat($1::text, $2::uuid[], $3::integer[], $4::real[], $5::text[], $6::interval)
