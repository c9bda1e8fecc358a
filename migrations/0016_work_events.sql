-- Why: events get their numbers here, and jobs their place in line. The first of
-- the engine's files; arrivals, submit, run and control stand on it.
-- Nothing here waits for a lock: what somebody else holds is left as a row and
-- done by whoever comes next, so that no order of calls can deadlock.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work_engine.refuse(status integer, code text, message text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PT' || status, MESSAGE = message, DETAIL = code;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse(integer, text, text) IS
    'Raises an error that rooms answer with the HTTP status: the message is for people, the detail for programs.';

CREATE FUNCTION work_engine.append(streams uuid[], jobs uuid[], kinds text[], data jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held uuid[];
BEGIN
    SELECT array_agg(s.id) INTO held
    FROM (
        SELECT s.id FROM work.streams AS s
        WHERE s.id = ANY (append.streams)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS s;
    -- A new statement: it sees what those committed who had the streams before.
    IF held IS NOT NULL THEN
        PERFORM work_engine.number(held, append.streams, append.jobs, append.kinds, append.data);
    END IF;
    IF cardinality(held) = (SELECT count(DISTINCT g.stream) FROM unnest(append.streams) AS g (stream)) THEN
        RETURN;
    END IF;
    INSERT INTO work_engine.unnumbered (stream_id, job_id, kind, data)
    SELECT g.stream, g.job, g.kind, coalesce(g.data, '{}')
    FROM unnest(append.streams, append.jobs, append.kinds, append.data) WITH ORDINALITY AS g (stream, job, kind, data, n)
    WHERE g.stream IS NOT NULL AND (held IS NULL OR g.stream <> ALL (held))
    ORDER BY g.n;
END;
$$;
COMMENT ON FUNCTION work_engine.append(uuid[], uuid[], text[], jsonb[]) IS
    'Adds events to streams, numbered at once where the stream is free and later where somebody else has it. Null streams are skipped.';

CREATE FUNCTION work_engine.number(held uuid[], streams uuid[], jobs uuid[], kinds text[], data jsonb[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Its lists may be long, which a plan made once does not know.
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    total integer;
BEGIN
    WITH late AS (
        DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (held)
        RETURNING u.id, u.stream_id, u.job_id, u.kind, u.data, u.at
    ),
    line AS (
        SELECT l.stream_id, l.job_id, l.kind, l.data, l.at, 0 AS part, l.id AS n FROM late AS l
        UNION ALL
        SELECT g.stream, g.job, g.kind, coalesce(g.data, '{}'), clock_timestamp(), 1, g.n
        FROM unnest(streams, jobs, kinds, data) WITH ORDINALITY AS g (stream, job, kind, data, n)
        WHERE g.stream = ANY (held)
    ),
    placed AS MATERIALIZED (
        SELECT l.*, row_number() OVER (PARTITION BY l.stream_id ORDER BY l.part, l.n) AS place FROM line AS l
    ),
    counted AS (
        UPDATE work.streams AS s SET last_seq = s.last_seq + p.most
        FROM (SELECT p.stream_id, max(p.place) AS most FROM placed AS p GROUP BY p.stream_id) AS p
        WHERE s.id = p.stream_id AND s.id = ANY (held)
        RETURNING s.id, s.last_seq - p.most AS base
    ),
    told AS (
        INSERT INTO work.events (stream_id, seq, job_id, kind, data, at)
        SELECT p.stream_id, c.base + p.place, p.job_id, p.kind, p.data, p.at
        FROM placed AS p JOIN counted AS c ON c.id = p.stream_id
        RETURNING 1
    )
    SELECT count(*)::integer INTO total FROM told;
    RETURN total;
END;
$$;
COMMENT ON FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) IS
    'Numbers what waited for the streams held, then what is given. The caller has locked them, in a statement before.';

CREATE FUNCTION work_engine.number_some(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted uuid[];
    held uuid[];
BEGIN
    SELECT array_agg(DISTINCT u.stream_id) INTO wanted
    FROM (SELECT u.stream_id FROM work_engine.unnumbered AS u ORDER BY u.id LIMIT number_some.most) AS u;
    IF wanted IS NULL THEN
        RETURN 0;
    END IF;
    -- A stream that was deleted needs no more numbers.
    DELETE FROM work_engine.unnumbered AS u
    WHERE u.stream_id = ANY (wanted) AND NOT EXISTS (SELECT FROM work.streams AS s WHERE s.id = u.stream_id);
    SELECT array_agg(s.id) INTO held
    FROM (SELECT s.id FROM work.streams AS s WHERE s.id = ANY (wanted) FOR NO KEY UPDATE SKIP LOCKED) AS s;
    IF held IS NULL THEN
        RETURN 0;
    END IF;
    RETURN work_engine.number(held, '{}', '{}', '{}', '{}');
END;
$$;
COMMENT ON FUNCTION work_engine.number_some(integer) IS
    'Numbers events that had to wait for their stream; returns how many. The duty behind append.';

CREATE FUNCTION work_engine.head(queue text)
RETURNS double precision
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
-- Whoever calls this may have switched it off, and then the probes below are
-- so dear to the planner that it reads and sorts the whole line instead.
SET enable_nestloop = on
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        -- From one priority to the next: a few probes of the index that claims read.
        WITH RECURSIVE band AS (
            (SELECT j.priority, j.sort_key FROM work.jobs AS j
             WHERE j.queue = head.queue AND j.state = 'queued' AND j.waiting_on IS NULL
             ORDER BY j.priority DESC, j.sort_key LIMIT 1)
            UNION ALL
            SELECT n.priority, n.sort_key
            FROM band AS b CROSS JOIN LATERAL (
                SELECT j.priority, j.sort_key FROM work.jobs AS j
                WHERE j.queue = head.queue AND j.state = 'queued' AND j.waiting_on IS NULL AND j.priority < b.priority
                ORDER BY j.priority DESC, j.sort_key LIMIT 1) AS n
        )
        SELECT coalesce(min(b.sort_key), extract(epoch FROM clock_timestamp())::double precision) FROM band AS b
    );
END;
$$;
COMMENT ON FUNCTION work_engine.head(text) IS
    'The queue''s virtual time: the smallest sort key among the jobs that can start, or the clock.';

CREATE FUNCTION work_engine.last_turn(queue text, owner text)
RETURNS double precision
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT j.sort_key FROM work.jobs AS j
        WHERE j.queue = last_turn.queue AND j.owner = last_turn.owner AND j.state = 'queued' AND j.waiting_on IS NULL
        ORDER BY j.sort_key DESC LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION work_engine.last_turn(text, text) IS 'The largest sort key among an owner''s jobs that can start; null without one.';

CREATE FUNCTION work_engine.place(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Its lists may be long, which a plan made once does not know.
SET enable_nestloop = off
AS $$
#variable_conflict use_column
BEGIN
    WITH mine AS MATERIALIZED (
        SELECT j.id, j.queue, j.owner, j.cost_estimate / coalesce(s.weight, 1) AS cost
        FROM work.jobs AS j LEFT JOIN work.shares AS s ON s.owner = j.owner
        WHERE j.id = ANY (ids)
    ),
    -- The jobs themselves are not yet in line: they keep what they are given
    -- here until they can start.
    heads AS MATERIALIZED (
        SELECT m.queue, work_engine.head(m.queue) AS head FROM (SELECT DISTINCT m.queue FROM mine AS m) AS m
    ),
    lines AS MATERIALIZED (
        SELECT m.queue, m.owner, work_engine.last_turn(m.queue, m.owner) AS last
        FROM (SELECT DISTINCT m.queue, m.owner FROM mine AS m WHERE m.owner IS NOT NULL) AS m
    ),
    turns AS (
        SELECT m.id,
               greatest(h.head, l.last + first_value(m.cost) OVER line)
                   + sum(m.cost) OVER line - first_value(m.cost) OVER line AS sort_key
        FROM mine AS m JOIN heads AS h ON h.queue = m.queue JOIN lines AS l ON l.queue = m.queue AND l.owner = m.owner
        WINDOW line AS (PARTITION BY m.queue, m.owner ORDER BY m.id)
    )
    UPDATE work.jobs AS j
    SET sort_key = coalesce(t.sort_key, extract(epoch FROM clock_timestamp())::double precision)
    FROM mine AS m LEFT JOIN turns AS t ON t.id = m.id
    WHERE j.id = m.id AND j.id = ANY (ids);
END;
$$;
COMMENT ON FUNCTION work_engine.place(uuid[]) IS
    'Gives jobs their place among equals by start-time fair queueing. To be called before they can start, with their rows locked.';

CREATE FUNCTION work_engine.tell(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    streams uuid[];
    jobs uuid[];
    kinds text[];
    data jsonb[];
BEGIN
    SELECT array_agg(j.stream_id ORDER BY j.id), array_agg(j.id ORDER BY j.id),
           array_agg('job.' || j.state ORDER BY j.id), array_agg(work_engine.event_data(j.reason, j.error) ORDER BY j.id)
    INTO streams, jobs, kinds, data
    FROM work.jobs AS j
    WHERE j.id = ANY (tell.ids) AND j.stream_id IS NOT NULL;
    IF streams IS NOT NULL THEN
        PERFORM work_engine.append(streams, jobs, kinds, data);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.tell(uuid[]) IS 'Appends the event that each of these jobs'' present state is.';

CREATE FUNCTION work_engine.event_data(reason text, error jsonb)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A message of 8 KiB is no message: whoever wants it all reads the job.
    SELECT CASE
        WHEN error IS NOT NULL AND pg_column_size(error) > 8192
            THEN jsonb_build_object('error', jsonb_build_object('code', left(error ->> 'code', 200), 'truncated', true))
        WHEN error IS NOT NULL THEN jsonb_build_object('error', error)
        WHEN reason IS NOT NULL THEN jsonb_build_object('reason', reason)
        ELSE '{}' END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
