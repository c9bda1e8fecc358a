-- What a trace compares: every job, what it did, and the log, as JSON.
SELECT json_build_object(
    'jobs', (
        SELECT json_object_agg(j.id, json_build_object(
            'state', j.state, 'waiting', j.waiting_on, 'from', j.paused_from, 'fell', j.reason IN ('dependency failed', 'sibling failed'),
            'code', j.error ->> 'code', 'epoch', j.epoch, 'failures', j.failures, 'crashes', j.crashes,
            'leased', j.lease_until IS NOT NULL, 'deps_left', j.deps_left, 'deps_open', j.deps_open,
            'children_open', j.children_open, 'children_failed', j.children_failed,
            'due_ms', extract(epoch FROM j.run_at - clock_timestamp()) * 1000,
            'slots', (SELECT count(*) FROM work_engine.slots AS s WHERE s.job_id = j.id)))
        FROM work.jobs AS j),
    'news', (SELECT count(*) FROM work_engine.arrivals AS a WHERE a.kind <> 'progress'),
    'streams', (
        SELECT json_object_agg(s.id, json_build_object('last', s.last_seq, 'numbers', (
            SELECT json_agg(e.seq ORDER BY e.seq) FROM work.events AS e WHERE e.stream_id = s.id)))
        FROM work.streams AS s),
    'told', (
        SELECT json_object_agg(t.job_id, t.kinds) FROM (
            SELECT e.job_id, array_agg(e.kind ORDER BY e.part, e.n) AS kinds
            FROM (
                SELECT v.job_id, v.kind, 0 AS part, v.seq AS n FROM work.events AS v
                UNION ALL
                SELECT u.job_id, u.kind, 1, u.id FROM work_engine.unnumbered AS u
            ) AS e
            GROUP BY e.job_id
        ) AS t),
    'steps', (
        SELECT json_object_agg(s.job_id || '/' || s.key, json_build_object(
            'state', s.state, 'result', s.result, 'handle', s.handle, 'late', s.late))
        FROM work.steps AS s));
