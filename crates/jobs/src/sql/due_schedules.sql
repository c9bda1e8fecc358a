-- Schedules that are due or new. Caller: services::schedule. Indexes:
-- schedules_next, schedules_new. Times also in microseconds, to be read.
SELECT d.id, d.cron, d.time_zone, d.missed, d.next_at,
       (extract(epoch FROM d.next_at) * 1000000)::bigint,
       (extract(epoch FROM d.moment) * 1000000)::bigint
FROM work_engine.schedules_due($1::integer) AS d
