-- Why: claim, finish and the places in line, on what 0041 made. The short way of
-- a job that completes is: its place deleted, its row updated twice.
-- Lock impact: replaces functions only; no existing relation is locked.

CREATE OR REPLACE FUNCTION work_engine.head(queue text)
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
            (SELECT l.priority, l.sort_key FROM work_engine.line AS l
             WHERE l.queue = head.queue
             ORDER BY l.priority DESC, l.sort_key LIMIT 1)
            UNION ALL
            SELECT n.priority, n.sort_key
            FROM band AS b CROSS JOIN LATERAL (
                SELECT l.priority, l.sort_key FROM work_engine.line AS l
                WHERE l.queue = head.queue AND l.priority < b.priority
                ORDER BY l.priority DESC, l.sort_key LIMIT 1) AS n
        )
        SELECT coalesce(min(b.sort_key), extract(epoch FROM clock_timestamp())::double precision) FROM band AS b
    );
END;
$$;

CREATE OR REPLACE FUNCTION work_engine.last_turn(queue text, owner text)
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
        SELECT l.sort_key FROM work_engine.line AS l
        WHERE l.queue = last_turn.queue AND l.owner = last_turn.owner
        ORDER BY l.sort_key DESC LIMIT 1
    );
END;
$$;

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
    telling boolean;
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
        SELECT c.id, c.spot, c.place, c.stream_id
        FROM unnest(open_queues, shares) AS q (name, n)
        CROSS JOIN LATERAL (
            SELECT j.id, j.ctid AS spot, l.ctid AS place, j.stream_id
            FROM work_engine.line AS l JOIN work.jobs AS j ON j.id = l.job_id
            WHERE l.queue = q.name AND j.state = 'queued' AND j.waiting_on IS NULL
              AND (claim.types IS NULL OR l.type = ANY (claim.types))
              AND (claim.any_owner OR l.owner = claim.only_owner)
            ORDER BY l.priority DESC, l.sort_key, l.job_id LIMIT q.n
            FOR NO KEY UPDATE OF j SKIP LOCKED
        ) AS c
    )
    SELECT array_agg(f.id), array_agg(f.spot), array_agg(f.place), bool_or(f.stream_id IS NOT NULL)
    INTO picked, spots, places, telling
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
    IF telling THEN
        PERFORM work_engine.tell_as(picked, 'job.started');
    END IF;
END;
$$;

CREATE FUNCTION work_engine.complete(ids uuid[], epochs integer[], outputs jsonb[])
RETURNS uuid[]
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
    ended uuid[];
    spots tid[];
    results jsonb[];
    written integer;
    with_parent boolean;
    with_limits boolean;
    with_stream boolean;
    targets uuid[];
BEGIN
    SELECT array_agg(j.id), array_agg(j.spot), array_agg(j.output), bool_or(j.child), bool_or(j.limited), bool_or(j.tells)
    INTO ended, spots, results, with_parent, with_limits, with_stream
    FROM (
        SELECT j.id, j.ctid AS spot, g.output, j.parent_id IS NOT NULL AS child, j.limit_keys IS NOT NULL AS limited,
               j.stream_id IS NOT NULL AS tells
        FROM unnest(complete.ids, complete.epochs, complete.outputs) AS g (id, epoch, output)
        JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
        WHERE j.state = 'running' AND j.waiting_on IS NULL AND NOT j.is_group
        ORDER BY j.id FOR NO KEY UPDATE OF j
    ) AS j;
    IF ended IS NULL THEN
        RETURN NULL;
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
    END IF;
    IF with_stream THEN
        PERFORM work_engine.tell(ended);
    END IF;
    -- Looked for now and not before: a dependant may have come while we
    -- waited for the lock.
    IF with_parent OR EXISTS (SELECT FROM work.dependencies AS d WHERE d.on_id = ANY (ended)) THEN
        targets := work_engine.ended(ended);
        IF targets IS NOT NULL THEN
            PERFORM work_engine.arrive(targets);
        END IF;
    END IF;
    RETURN ended;
END;
$$;
COMMENT ON FUNCTION work_engine.complete(uuid[], integer[], jsonb[]) IS
    'finish for what was completed: returns those that were, and nothing of claims that were stale.';

CREATE OR REPLACE FUNCTION work_engine.finish(
    ids uuid[], epochs integer[], outcomes text[], outputs jsonb[], errors jsonb[], retryable boolean[], delays interval[])
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- As in complete.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    held uuid[];
    held_epochs integer[];
    plain boolean;
    ended uuid[];
    again uuid[];
    with_parent boolean;
    with_limits boolean;
    with_stream boolean;
    targets uuid[];
BEGIN
    IF cardinality(finish.epochs) IS DISTINCT FROM cardinality(finish.ids)
        OR cardinality(finish.outcomes) IS DISTINCT FROM cardinality(finish.ids)
    THEN
        PERFORM work_engine.refuse(400, 'invalid', 'Each job has its epoch and its outcome.');
    END IF;
    plain := 'completed' = ALL (finish.outcomes);
    IF plain THEN
        held := work_engine.complete(finish.ids, finish.epochs, finish.outputs);
        -- Of what was ended only this claim can have been meant: it is locked now.
        SELECT array_agg(j.id), array_agg(j.epoch) INTO held, held_epochs FROM work.jobs AS j WHERE j.id = ANY (held);
    ELSE
        SELECT array_agg(j.id), array_agg(j.epoch), bool_or(j.parent_id IS NOT NULL),
               bool_or(j.limit_keys IS NOT NULL), bool_or(j.stream_id IS NOT NULL)
        INTO held, held_epochs, with_parent, with_limits, with_stream
        FROM (
            SELECT j.id, j.epoch, j.parent_id, j.limit_keys, j.stream_id
            FROM unnest(finish.ids, finish.epochs) AS g (id, epoch)
            JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
            WHERE j.state = 'running' AND j.waiting_on IS NULL AND NOT j.is_group
            ORDER BY j.id FOR NO KEY UPDATE OF j
        ) AS j;
    END IF;
    IF held IS NOT NULL AND NOT plain THEN
        SELECT f.ended, f.again INTO ended, again
        FROM work_engine.finish_mixed(held, finish.ids, finish.epochs, finish.outcomes, finish.outputs, finish.errors,
            finish.retryable, finish.delays) AS f;
        IF with_limits THEN
            PERFORM work_engine.free(held);
        END IF;
        IF with_stream THEN
            PERFORM work_engine.tell(ended);
            PERFORM work_engine.tell_as(again, 'job.retrying');
        END IF;
        -- Looked for now and not before: a dependant may have come while we
        -- waited for the lock.
        IF ended IS NOT NULL AND (with_parent OR EXISTS (SELECT FROM work.dependencies AS d WHERE d.on_id = ANY (ended))) THEN
            targets := work_engine.ended(ended);
            IF targets IS NOT NULL THEN
                PERFORM work_engine.arrive(targets);
            END IF;
        END IF;
    END IF;
    RETURN QUERY
        SELECT g.id, max(g.state)
        FROM (
            SELECT u.id, u.epoch, NULL::text AS state FROM unnest(finish.ids, finish.epochs) AS u (id, epoch)
            UNION ALL
            SELECT h.id, h.epoch, CASE WHEN plain THEN 'completed' ELSE (SELECT j.state FROM work.jobs AS j WHERE j.id = h.id) END
            FROM unnest(held, held_epochs) AS h (id, epoch)
        ) AS g
        GROUP BY g.id, g.epoch;
END;
$$;

-- As claim does it: its place goes, and its lease is looked after.
CREATE OR REPLACE FUNCTION work_engine.claim_one(job work.jobs, by_worker text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fence integer;
    spot work_engine.line;
BEGIN
    UPDATE work.jobs AS j
    SET state = 'running', epoch = j.epoch + 1, worker = by_worker, code_version = NULL, reason = NULL,
        lease_until = clock_timestamp() + interval '24 hours',
        deadline_at = CASE WHEN j.started_at IS NULL AND j.time_limit IS NOT NULL
                           THEN least(j.deadline_at, clock_timestamp() + j.time_limit) ELSE j.deadline_at END,
        started_at = coalesce(j.started_at, clock_timestamp()), updated_at = clock_timestamp()
    WHERE j.id = job.id AND j.state = 'queued' AND j.waiting_on IS NULL
    RETURNING j.epoch, j.queue, j.priority, j.sort_key INTO fence, spot.queue, spot.priority, spot.sort_key;
    IF fence IS NULL THEN
        PERFORM work_engine.refuse(409, 'conflict', 'the job cannot start yet');
    END IF;
    DELETE FROM work_engine.line AS l
    WHERE l.queue = spot.queue AND l.priority = spot.priority AND l.sort_key = spot.sort_key AND l.job_id = job.id;
    PERFORM work_engine.watch(ARRAY[job.id], clock_timestamp() + interval '24 hours');
    PERFORM work_engine.tell_as(ARRAY[job.id], 'job.started');
    RETURN fence;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
