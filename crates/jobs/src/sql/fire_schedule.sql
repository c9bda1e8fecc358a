-- One schedule's turn; null when another node was first. Caller: services::schedule.
SELECT work_engine.schedule_fire($1::uuid, $2::timestamptz, $3::timestamptz[], $4::timestamptz[], $5::timestamptz, $6::text)
