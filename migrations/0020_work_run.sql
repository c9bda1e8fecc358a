-- Why: what workers do: claim, say that they are alive, finish. And what is done
-- for them: rescue of those that died, and whatever falls due.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work_engine.claim(
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
AS $$
#variable_conflict use_column
DECLARE
    jobs_max CONSTANT integer := 1000;
    wanted CONSTANT integer := least(claim.most, jobs_max);
    open_queues text[];
    shares integer[];
    picked uuid[];
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
                    SELECT j.priority, j.sort_key, j.id FROM work.jobs AS j
                    WHERE j.queue = q.name AND j.state = 'queued' AND j.waiting_on IS NULL
                      AND (claim.types IS NULL OR j.type = ANY (claim.types))
                      AND (claim.any_owner OR j.owner = claim.only_owner)
                    ORDER BY j.priority DESC, j.sort_key, j.id LIMIT wanted
                ) AS c
                ORDER BY c.priority DESC, c.sort_key, c.id LIMIT wanted
            ) AS c
            GROUP BY c.name
        ) AS s;
    END IF;
    -- The fence keeps the planner from taking more than the limit.
    WITH first_ones AS MATERIALIZED (
        SELECT c.id, c.stream_id
        FROM unnest(open_queues, shares) AS q (name, n)
        CROSS JOIN LATERAL (
            SELECT j.id, j.stream_id FROM work.jobs AS j
            WHERE j.queue = q.name AND j.state = 'queued' AND j.waiting_on IS NULL
              AND (claim.types IS NULL OR j.type = ANY (claim.types))
              AND (claim.any_owner OR j.owner = claim.only_owner)
            ORDER BY j.priority DESC, j.sort_key, j.id LIMIT q.n
            FOR NO KEY UPDATE OF j SKIP LOCKED
        ) AS c
    )
    SELECT array_agg(f.id), bool_or(f.stream_id IS NOT NULL) INTO picked, telling FROM first_ones AS f;
    IF picked IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH taken AS (
            UPDATE work.jobs AS j
            SET state = 'running', epoch = j.epoch + 1, worker = claim.worker, code_version = claim.code_version,
                lease_until = clock_timestamp() + claim.lease, reason = NULL,
                deadline_at = CASE WHEN j.started_at IS NULL AND j.time_limit IS NOT NULL
                                   THEN least(j.deadline_at, clock_timestamp() + j.time_limit) ELSE j.deadline_at END,
                started_at = coalesce(j.started_at, clock_timestamp()), updated_at = clock_timestamp()
            WHERE j.id = ANY (picked)
            RETURNING j.id, j.root_id, j.parent_id, j.session_id, j.stream_id, j.owner, j.type, j.name, j.epoch, j.failures, j.input,
                j.queue, j.forked_from, j.priority, j.sort_key
        )
        SELECT t.id, t.root_id, t.parent_id, t.session_id, t.stream_id, t.owner, t.type, t.name, t.epoch, t.failures, t.input,
            t.queue, (extract(epoch FROM claim.lease) * 1000)::bigint,
            CASE WHEN t.epoch > 1 OR t.forked_from IS NOT NULL THEN work_engine.done_steps(t.id) END
        FROM taken AS t
        ORDER BY t.priority DESC, t.sort_key, t.id;
    IF telling THEN
        PERFORM work_engine.tell_as(picked, 'job.started');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.claim(text, text[], text[], text, boolean, integer, interval, text) IS
    'Gives a worker the next jobs of these queues, most urgent first; nobody waits for anybody. The epoch it returns must be shown from then on.';

CREATE FUNCTION work_engine.done_steps(job uuid)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The first thousand, and small results only: the rest is asked for by key.
    -- A wait that ended without an answer is decided as much as one that had it.
    SELECT jsonb_object_agg(s.key, jsonb_build_object('result', s.result, 'version', s.version)
        || CASE s.state WHEN 'expired' THEN '{"state": "expired"}' ELSE '{}' END::jsonb)
    FROM (
        SELECT s.key, s.state, s.result, s.version FROM work.steps AS s
        WHERE s.job_id = job AND s.state IN ('done', 'expired') AND (s.result IS NULL OR pg_column_size(s.result) <= 8192)
        ORDER BY s.started_at LIMIT 1000
    ) AS s
$$;
COMMENT ON FUNCTION work_engine.done_steps(uuid) IS 'What a job has done already, as a claim returns it.';

CREATE FUNCTION work_engine.tell_as(ids uuid[], kind text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    streams uuid[];
    jobs uuid[];
    data jsonb[];
BEGIN
    SELECT array_agg(j.stream_id), array_agg(j.id),
           array_agg(jsonb_strip_nulls(jsonb_build_object('epoch', j.epoch, 'reason', j.reason)))
    INTO streams, jobs, data
    FROM work.jobs AS j WHERE j.id = ANY (tell_as.ids) AND j.stream_id IS NOT NULL;
    IF streams IS NOT NULL THEN
        PERFORM work_engine.append(streams, jobs, array_fill(tell_as.kind, ARRAY[cardinality(jobs)]), data);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.tell_as(uuid[], text) IS 'Appends one event of a kind for each of these jobs that tells anything.';

CREATE FUNCTION work_engine.heartbeat(
    worker text, ids uuid[], epochs integer[], progress real[], messages text[], lease interval)
RETURNS TABLE (id uuid, directive text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- A plan for ten rows does for a thousand: every join ends in an index. Planning
-- each call would cost as much as the call.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    held uuid[];
    done real[];
    said text[];
    moved uuid[];
BEGIN
    SELECT array_agg(j.id), array_agg(j.progress), array_agg(j.message), array_agg(j.id) FILTER (WHERE j.moved)
    INTO held, done, said, moved
    FROM (
        SELECT j.id, n.progress, n.message,
               abs(n.progress - j.progress) >= 0.005 OR n.message IS DISTINCT FROM j.message AS moved
        FROM unnest(heartbeat.ids, heartbeat.epochs, heartbeat.progress, heartbeat.messages) AS g (id, epoch, progress, message)
        JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
        CROSS JOIN LATERAL (SELECT
            -- A parent's progress is its children's.
            CASE WHEN j.children_total > 0 THEN j.progress ELSE coalesce(least(1, greatest(0, g.progress)), j.progress) END,
            coalesce(left(g.message, 1000), j.message)) AS n (progress, message)
        WHERE j.state = 'running' AND j.waiting_on IS NULL AND NOT j.is_group
        ORDER BY j.id FOR NO KEY UPDATE OF j
    ) AS j;
    UPDATE work.jobs AS j
    SET lease_until = clock_timestamp() + heartbeat.lease, updated_at = clock_timestamp(), progress = h.progress, message = h.message
    FROM unnest(held, done, said) AS h (id, progress, message)
    WHERE j.id = h.id;
    IF moved IS NOT NULL THEN
        PERFORM work_engine.tell_progress(moved);
        -- Parents hear of it with the duty's next round, many children at once.
        PERFORM work_engine.advance(moved);
    END IF;
    RETURN QUERY
        SELECT g.id, CASE
            WHEN j.epoch = g.epoch AND j.state = 'running' AND j.waiting_on IS NULL THEN 'ok'
            WHEN j.epoch = g.epoch AND j.state = 'cancelled' THEN 'cancel'
            WHEN j.epoch = g.epoch AND j.state = 'paused' THEN 'pause'
            ELSE 'lost' END
        FROM unnest(heartbeat.ids, heartbeat.epochs) AS g (id, epoch)
        LEFT JOIN work.jobs AS j ON j.id = g.id;
END;
$$;
COMMENT ON FUNCTION work_engine.heartbeat(text, uuid[], integer[], real[], text[], interval) IS
    'Extends leases and tells the worker about each job: ok, cancel, pause, or lost.';

CREATE FUNCTION work_engine.tell_progress(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    streams uuid[];
    jobs uuid[];
    data jsonb[];
BEGIN
    SELECT array_agg(j.stream_id), array_agg(j.id),
           array_agg(jsonb_strip_nulls(jsonb_build_object('progress', j.progress, 'message', j.message)))
    INTO streams, jobs, data
    FROM work.jobs AS j WHERE j.id = ANY (tell_progress.ids) AND j.stream_id IS NOT NULL;
    IF streams IS NOT NULL THEN
        PERFORM work_engine.append(streams, jobs, array_fill('job.progress'::text, ARRAY[cardinality(jobs)]), data);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.tell_progress(uuid[]) IS 'Appends job.progress for these jobs.';

CREATE FUNCTION work_engine.finish(
    ids uuid[], epochs integer[], outcomes text[], outputs jsonb[], errors jsonb[], retryable boolean[], delays interval[])
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- A plan for ten rows does for a thousand: every join ends in an index. Planning
-- each call would cost as much as the call.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    held uuid[];
    held_epochs integer[];
    results jsonb[];
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
    SELECT array_agg(j.id), array_agg(j.epoch), array_agg(j.output), bool_or(j.parent_id IS NOT NULL),
           bool_or(j.limit_keys IS NOT NULL), bool_or(j.stream_id IS NOT NULL)
    INTO held, held_epochs, results, with_parent, with_limits, with_stream
    FROM (
        SELECT j.id, j.epoch, g.output, j.parent_id, j.limit_keys, j.stream_id
        FROM unnest(finish.ids, finish.epochs, finish.outputs) AS g (id, epoch, output)
        JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
        WHERE j.state = 'running' AND j.waiting_on IS NULL AND NOT j.is_group
        ORDER BY j.id FOR NO KEY UPDATE OF j
    ) AS j;
    plain := 'completed' = ALL (finish.outcomes);
    IF held IS NOT NULL THEN
        IF plain THEN
            UPDATE work.jobs AS j
            SET state = 'completed', output = h.output, error = NULL, progress = 1, lease_until = NULL,
                finished_at = clock_timestamp(), updated_at = clock_timestamp()
            FROM unnest(held, results) AS h (id, output)
            WHERE j.id = h.id;
            ended := held;
        ELSE
            SELECT f.ended, f.again INTO ended, again
            FROM work_engine.finish_mixed(held, finish.ids, finish.epochs, finish.outcomes, finish.outputs, finish.errors,
                finish.retryable, finish.delays) AS f;
        END IF;
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
COMMENT ON FUNCTION work_engine.finish(uuid[], integer[], text[], jsonb[], jsonb[], boolean[], interval[]) IS
    'Ends attempts: completed, failed or released. Null as a state: the job was no longer this worker''s, and nothing changed.';

CREATE FUNCTION work_engine.finish_mixed(
    held uuid[], ids uuid[], epochs integer[], outcomes text[], outputs jsonb[], errors jsonb[], retryable boolean[], delays interval[],
    OUT ended uuid[], OUT again uuid[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM unnest(finish_mixed.outcomes) AS o (outcome)
               WHERE o.outcome IS NULL OR o.outcome NOT IN ('completed', 'failed', 'released')) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'An outcome is completed, failed or released.');
    END IF;
    WITH given AS MATERIALIZED (
        SELECT DISTINCT ON (g.id) g.*
        FROM unnest(ids, epochs, outcomes, outputs, errors, retryable, delays)
            WITH ORDINALITY AS g (id, epoch, outcome, output, error, retryable, delay, n)
        -- A batch may hold an older claim's word beside the last one's.
        JOIN work.jobs AS j ON j.id = g.id AND j.epoch = g.epoch
        WHERE g.id = ANY (held) ORDER BY g.id, g.n
    ),
    judged AS MATERIALIZED (
        SELECT g.*, j.worker, j.code_version, j.started_at, CASE
                WHEN g.outcome = 'failed' AND coalesce(g.retryable, true) AND j.failures + 1 < j.max_attempts THEN 'retry'
                ELSE g.outcome END AS verdict
        FROM given AS g JOIN work.jobs AS j ON j.id = g.id
    ),
    noted AS (
        INSERT INTO work.attempts (job_id, epoch, outcome, worker, code_version, error, started_at)
        SELECT d.id, d.epoch, d.outcome, d.worker, d.code_version, d.error, d.started_at
        FROM judged AS d WHERE d.outcome <> 'completed'
        ON CONFLICT DO NOTHING
    ),
    changed AS (
        UPDATE work.jobs AS j
        SET state = CASE d.verdict WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' ELSE 'queued' END,
            waiting_on = CASE WHEN d.verdict = 'retry' THEN 'retry'
                              WHEN d.verdict = 'released' AND cardinality(j.limit_keys) > 0 THEN 'limit' END,
            output = CASE WHEN d.verdict = 'completed' THEN d.output ELSE j.output END,
            error = CASE d.outcome WHEN 'completed' THEN NULL WHEN 'failed' THEN d.error ELSE j.error END,
            progress = CASE WHEN d.verdict = 'completed' THEN 1 ELSE j.progress END,
            failures = j.failures + CASE WHEN d.outcome = 'failed' THEN 1 ELSE 0 END,
            run_at = CASE WHEN d.verdict = 'retry'
                THEN clock_timestamp() + coalesce(d.delay, work_engine.backoff(j.failures + 1, j.backoff_base, j.backoff_max))
                ELSE j.run_at END,
            lease_until = NULL,
            finished_at = CASE WHEN d.verdict IN ('completed', 'failed') THEN clock_timestamp() END,
            updated_at = clock_timestamp()
        FROM judged AS d
        WHERE j.id = d.id
        RETURNING j.id, d.verdict
    )
    -- Slots are given back by the caller, once: what was granted by then is not its to free.
    SELECT array_agg(c.id) FILTER (WHERE c.verdict IN ('completed', 'failed')), array_agg(c.id) FILTER (WHERE c.verdict = 'retry')
    INTO ended, again
    FROM changed AS c;
END;
$$;
COMMENT ON FUNCTION work_engine.finish_mixed(uuid[], uuid[], integer[], text[], jsonb[], jsonb[], boolean[], interval[]) IS
    'finish for batches in which not everything was completed.';

CREATE FUNCTION work_engine.backoff(failures integer, base interval, longest interval)
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Half to one and a half times, so that what failed together does not
    -- come back together.
    SELECT least(coalesce(longest, '10 minutes'), coalesce(base, '1 second') * power(2, least(failures - 1, 30))) * (0.5 + random())
$$;
COMMENT ON FUNCTION work_engine.backoff(integer, interval, interval) IS 'The pause before the next attempt.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
