-- Why: events that many jobs tell at once. The functions that number them were
-- planned under settings of their callers, which forbid every join but one, and
-- themselves forbade that one: what was left read the streams once for each
-- event, so a batch cost its square. Now a batch locks its streams by their
-- ids, counts each up and inserts the events, three statements for all; claim
-- and complete say what happened without looking at their jobs again.
-- An event's stream was looked up by a foreign key, too, though whoever inserts
-- one has the stream locked: the lookups were a third of what events cost. The
-- key goes; a trigger deletes events with their streams, as the key did.
-- Lock impact: ACCESS EXCLUSIVE on `work.events` and `work.streams` for a moment,
-- to drop the key and make the trigger; nothing is rewritten or read.

ALTER TABLE work.events DROP CONSTRAINT events_stream_id_fkey;

-- Many at once. As the engine, whoever it is that deletes a session.
CREATE FUNCTION work_engine.stream_gone()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    DELETE FROM work.events AS e USING gone AS g WHERE e.stream_id = g.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER stream_gone AFTER DELETE ON work.streams
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION work_engine.stream_gone();

CREATE FUNCTION work_engine.append_all(streams uuid[], jobs uuid[], kinds text[], data jsonb[])
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- As if nobody had called it: rows by their id or place, lists by hash.
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    held uuid[];
    spots tid[];
    bases bigint[];
BEGIN
    -- Each stream once, before its events are looked at: one that becomes free
    -- between two of its events must not take the second alone. What a lock
    -- returns is the row as it is now, whatever was committed since the
    -- statement began.
    SELECT array_agg(s.id), array_agg(s.spot), array_agg(s.last_seq) INTO held, spots, bases
    FROM (
        SELECT s.id, s.ctid AS spot, s.last_seq FROM work.streams AS s
        WHERE s.id = ANY (append_all.streams)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS s;
    IF held IS NOT NULL THEN
        -- A new statement: it sees what those left over who had the streams before.
        IF EXISTS (SELECT FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (held)) THEN
            PERFORM work_engine.number(held, append_all.streams, append_all.jobs, append_all.kinds, append_all.data);
        ELSE
            UPDATE work.streams AS s SET last_seq = s.last_seq + h.many
            FROM (
                SELECT h.spot, count(*) AS many
                FROM unnest(append_all.streams) AS g (stream) JOIN unnest(held, spots) AS h (id, spot) ON h.id = g.stream
                GROUP BY h.spot
            ) AS h
            WHERE s.ctid = h.spot;
            INSERT INTO work.events (stream_id, seq, job_id, kind, data)
            SELECT g.stream, h.base + row_number() OVER (PARTITION BY g.stream ORDER BY g.n), g.job, g.kind, coalesce(g.data, '{}')
            FROM unnest(append_all.streams, append_all.jobs, append_all.kinds, append_all.data) WITH ORDINALITY AS g (stream, job, kind, data, n)
            JOIN unnest(held, bases) AS h (id, base) ON h.id = g.stream;
        END IF;
        IF cardinality(held) = cardinality(append_all.streams) THEN
            -- Nothing was left, and no stream was named twice.
            RETURN false;
        END IF;
    END IF;
    INSERT INTO work_engine.unnumbered (stream_id, job_id, kind, data)
    SELECT g.stream, g.job, g.kind, coalesce(g.data, '{}')
    FROM unnest(append_all.streams, append_all.jobs, append_all.kinds, append_all.data) WITH ORDINALITY AS g (stream, job, kind, data, n)
    WHERE g.stream IS NOT NULL AND (held IS NULL OR g.stream <> ALL (held))
    ORDER BY g.n;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION work_engine.append_all(uuid[], uuid[], text[], jsonb[]) IS
    'append, which also tells whether a stream was busy, so that some events wait for their numbers.';

CREATE OR REPLACE FUNCTION work_engine.append(streams uuid[], jobs uuid[], kinds text[], data jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.append_all(append.streams, append.jobs, append.kinds, append.data);
END;
$$;

-- What is left over, and a stream that is told twice at once, come this way: its
-- plans are made for each call, with everything allowed.
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET enable_nestloop = on;
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET enable_hashjoin = on;
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET enable_mergejoin = on;
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET enable_seqscan = on;
ALTER FUNCTION work_engine.number(uuid[], uuid[], uuid[], text[], jsonb[]) SET enable_bitmapscan = on;

CREATE OR REPLACE FUNCTION work_engine.claim(
    worker text, queues text[], types text[], only_owner text, any_owner boolean, most integer, lease interval, code_version text)
RETURNS TABLE (
    id uuid, root_id uuid, parent_id uuid, session_id uuid, stream_id uuid, owner text, type text, name text,
    epoch integer, failures integer, input jsonb, queue text, lease_ms bigint, steps jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Plans are kept, since planning each call would cost as much as the call: one
-- made for a small table must do for a large one.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    jobs_max CONSTANT integer := 1000;
    wanted CONSTANT integer := least(claim.most, jobs_max);
    open_queues text[];
    shares integer[];
    picked uuid[];
    spots tid[];
    places tid[];
    found_places integer;
    written integer;
    streams uuid[];
    fences integer[];
BEGIN
    SELECT array_agg(DISTINCT q.name) INTO open_queues
    FROM unnest(claim.queues) AS q (name)
    WHERE NOT EXISTS (SELECT FROM work.queues AS p WHERE p.name = q.name AND p.paused);
    IF open_queues IS NULL OR wanted < 1 THEN
        RETURN;
    END IF;
    IF cardinality(open_queues) = 1 THEN
        shares := ARRAY[wanted];
    ELSE
        -- How many of each queue are among the first of all. Locked is then
        -- no more than that, so that nobody is kept from what we leave.
        SELECT array_agg(s.name), array_agg(s.n) INTO open_queues, shares
        FROM (
            SELECT c.name, count(*)::integer AS n
            FROM (
                SELECT q.name
                FROM unnest(open_queues) AS q (name)
                CROSS JOIN LATERAL (
                    SELECT l.priority, l.sort_key, l.job_id FROM work_engine.line AS l
                    WHERE l.queue = q.name
                      AND (claim.types IS NULL OR l.type = ANY (claim.types))
                      AND (claim.any_owner OR l.owner = claim.only_owner)
                    ORDER BY l.priority DESC, l.sort_key, l.job_id LIMIT wanted
                ) AS c
                ORDER BY c.priority DESC, c.sort_key, c.job_id LIMIT wanted
            ) AS c
            GROUP BY c.name
        ) AS s;
    END IF;
    -- The fence keeps the planner from taking more than the limit. Locked is the
    -- job; its place is nobody's but its holder's.
    WITH first_ones AS MATERIALIZED (
        SELECT c.id, c.spot, c.place, c.stream_id, c.epoch
        FROM unnest(open_queues, shares) AS q (name, n)
        CROSS JOIN LATERAL (
            SELECT j.id, j.ctid AS spot, l.ctid AS place, j.stream_id, j.epoch
            FROM work_engine.line AS l JOIN work.jobs AS j ON j.id = l.job_id
            WHERE l.queue = q.name AND j.state = 'queued' AND j.waiting_on IS NULL
              AND (claim.types IS NULL OR l.type = ANY (claim.types))
              AND (claim.any_owner OR l.owner = claim.only_owner)
            ORDER BY l.priority DESC, l.sort_key, l.job_id LIMIT q.n
            FOR NO KEY UPDATE OF j SKIP LOCKED
        ) AS c
    )
    SELECT array_agg(f.id), array_agg(f.spot), array_agg(f.place), array_agg(f.stream_id), array_agg(f.epoch + 1)
    INTO picked, spots, places, streams, fences
    FROM first_ones AS f;
    IF picked IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM work_engine.line AS l WHERE l.ctid = ANY (places);
    GET DIAGNOSTICS found_places = ROW_COUNT;
    IF found_places < cardinality(picked) THEN
        -- Somebody gave a job another place between our look and our lock.
        DELETE FROM work_engine.line AS l WHERE l.job_id = ANY (picked);
    END IF;
    -- As watch does it, without a call.
    INSERT INTO work_engine.holds (look_at, jobs)
    SELECT clock_timestamp() + claim.lease, picked[n : n + 99] FROM generate_series(1, cardinality(picked), 100) AS n;
    RETURN QUERY
        WITH taken AS (
            UPDATE work.jobs AS j
            SET state = 'running', epoch = j.epoch + 1, worker = claim.worker, code_version = claim.code_version,
                lease_until = clock_timestamp() + claim.lease, reason = NULL,
                deadline_at = CASE WHEN j.started_at IS NULL AND j.time_limit IS NOT NULL
                                   THEN least(j.deadline_at, clock_timestamp() + j.time_limit) ELSE j.deadline_at END,
                started_at = coalesce(j.started_at, clock_timestamp()), updated_at = clock_timestamp()
            -- Where they are now: they are locked and stay there.
            WHERE j.ctid = ANY (spots) AND j.state = 'queued'
            RETURNING j.id, j.root_id, j.parent_id, j.session_id, j.stream_id, j.owner, j.type, j.name, j.epoch, j.failures, j.input,
                j.queue, j.forked_from, j.priority, j.sort_key
        )
        SELECT t.id, t.root_id, t.parent_id, t.session_id, t.stream_id, t.owner, t.type, t.name, t.epoch, t.failures, t.input,
            t.queue, (extract(epoch FROM claim.lease) * 1000)::bigint,
            CASE WHEN t.epoch > 1 OR t.forked_from IS NOT NULL THEN work_engine.done_steps(t.id) END
        FROM taken AS t
        ORDER BY t.priority DESC, t.sort_key, t.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(picked) THEN
        -- That would be news; what was not taken must stay in line.
        INSERT INTO work_engine.line (job_id, queue, priority, sort_key, type, owner)
        SELECT j.id, j.queue, j.priority, j.sort_key, j.type, j.owner
        FROM work.jobs AS j WHERE j.id = ANY (picked) AND j.state = 'queued';
    END IF;
    IF array_remove(streams, NULL) <> '{}' THEN
        -- As tell_as does it, without another look at the jobs.
        PERFORM work_engine.append_all(streams, picked, array_fill('job.started'::text, ARRAY[cardinality(picked)]),
            (SELECT array_agg(jsonb_build_object('epoch', f.fence) ORDER BY f.n) FROM unnest(fences) WITH ORDINALITY AS f (fence, n)));
    END IF;
END;
$$;

CREATE FUNCTION work_engine.complete_all(
    ids uuid[], epochs integer[], outputs jsonb[], OUT ended uuid[], OUT stirred boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- A plan for ten rows does for a thousand: every join ends in an index. Planning
-- each call would cost as much as the call.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    spots tid[];
    results jsonb[];
    written integer;
    with_parent boolean;
    with_limits boolean;
    streams uuid[];
    data jsonb[];
    targets uuid[];
BEGIN
    stirred := false;
    SELECT array_agg(j.id), array_agg(j.spot), array_agg(j.output), bool_or(j.child), bool_or(j.limited),
           array_agg(j.stream_id), array_agg(j.data)
    INTO ended, spots, results, with_parent, with_limits, streams, data
    FROM (
        SELECT j.id, j.ctid AS spot, g.output, j.parent_id IS NOT NULL AS child, j.limit_keys IS NOT NULL AS limited,
               j.stream_id,
               CASE WHEN j.stream_id IS NOT NULL THEN work_engine.event_data(j.reason, NULL) END AS data
        FROM unnest(complete_all.ids, complete_all.epochs, complete_all.outputs) AS g (id, epoch, output)
        JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
        WHERE j.state = 'running' AND j.waiting_on IS NULL AND NOT j.is_group
        ORDER BY j.id FOR NO KEY UPDATE OF j
    ) AS j;
    IF ended IS NULL THEN
        RETURN;
    END IF;
    UPDATE work.jobs AS j
    SET state = 'completed', output = h.output, error = NULL, progress = 1, lease_until = NULL,
        finished_at = clock_timestamp(), updated_at = clock_timestamp()
    FROM unnest(spots, results) AS h (spot, output)
    -- Where they are now: they are locked and stay there.
    WHERE j.ctid = h.spot AND j.state = 'running';
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(ended) THEN
        -- That would be news; a job that was told to be over must be.
        UPDATE work.jobs AS j
        SET state = 'completed', output = h.output, error = NULL, progress = 1, lease_until = NULL,
            finished_at = clock_timestamp(), updated_at = clock_timestamp()
        FROM unnest(ended, results) AS h (id, output)
        WHERE j.id = h.id AND j.state = 'running';
    END IF;
    IF with_limits THEN
        PERFORM work_engine.free(ended);
        stirred := true;
    END IF;
    IF array_remove(streams, NULL) <> '{}' THEN
        -- As tell does it, without another look at the jobs.
        stirred := work_engine.append_all(streams, ended, array_fill('job.completed'::text, ARRAY[cardinality(ended)]), data) OR stirred;
    END IF;
    -- Looked for now and not before: a dependant may have come while we
    -- waited for the lock.
    IF with_parent OR EXISTS (SELECT FROM work.dependencies AS d WHERE d.on_id = ANY (ended)) THEN
        targets := work_engine.ended(ended);
        IF targets IS NOT NULL THEN
            PERFORM work_engine.arrive(targets);
            stirred := true;
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.complete_all(uuid[], integer[], jsonb[]) IS
    'finish for what was completed: those that were, and nothing of claims that were stale; and whether others may start, hear of it or be numbered by that.';

CREATE OR REPLACE FUNCTION work_engine.complete(ids uuid[], epochs integer[], outputs jsonb[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.ended FROM work_engine.complete_all(complete.ids, complete.epochs, complete.outputs) AS c);
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
