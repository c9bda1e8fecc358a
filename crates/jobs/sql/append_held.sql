-- What a job that somebody holds says about itself, into its own stream. A
-- claim that no longer holds says nothing.
SELECT j.stream_id, work_engine.append(ARRAY[j.stream_id], ARRAY[j.id], ARRAY[$3::text], ARRAY[$4::jsonb])::text
FROM work.jobs AS j
WHERE j.id = $1::uuid AND j.epoch = $2::integer AND j.state = 'running' AND j.stream_id IS NOT NULL
