-- Why: what people do to jobs: cancel, pause, resume, retry. Each takes a job with
-- everything below it, in one transaction.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work_engine.tree(job uuid)
RETURNS uuid[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
-- One probe for each parent, however large the table has become.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN (
        WITH RECURSIVE t AS (
            SELECT j.id FROM work.jobs AS j WHERE j.id = tree.job
            UNION ALL
            SELECT c.id FROM t JOIN work.jobs AS c ON c.parent_id = t.id
        )
        SELECT array_agg(t.id) FROM t);
END;
$$;
COMMENT ON FUNCTION work_engine.tree(uuid) IS 'A job and everything below it.';

CREATE FUNCTION work_engine.kin(job uuid, OUT revive uuid[], OUT reopen uuid[], OUT touched uuid[])
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    WITH RECURSIVE k (id, role) AS (
        SELECT j.id, 'revive' FROM work.jobs AS j WHERE j.id = kin.job
        UNION
        SELECT n.id, n.role
        FROM k CROSS JOIN LATERAL (
            -- Below: what failed or was cancelled, also below what was not.
            SELECT c.id, CASE WHEN c.state IN ('failed', 'cancelled') THEN 'revive' ELSE 'pass' END
            FROM work.jobs AS c WHERE c.parent_id = k.id AND k.role IN ('revive', 'pass')
            UNION ALL
            -- Beside: what was given up because of it.
            SELECT j.id, 'revive'
            FROM work.dependencies AS d JOIN work.jobs AS j ON j.id = d.job_id
            WHERE d.on_id = k.id AND k.role <> 'pass' AND j.state = 'cancelled'
              -- In a group the order to its siblings may be faster than the chain.
              AND j.reason IN ('dependency failed', 'sibling failed')
            UNION ALL
            -- Above: groups that were over with it.
            SELECT p.id, 'reopen'
            FROM work.jobs AS j JOIN work.jobs AS p ON p.id = j.parent_id
            WHERE j.id = k.id AND k.role <> 'pass' AND p.is_group AND p.state IN ('completed', 'failed', 'cancelled')
        ) AS n (id, role)
    )
    SELECT array_agg(DISTINCT k.id) FILTER (WHERE k.role = 'revive'), array_agg(DISTINCT k.id) FILTER (WHERE k.role = 'reopen')
    INTO revive, reopen
    FROM k;
    reopen := array(SELECT unnest(reopen) EXCEPT SELECT unnest(revive));
    SELECT array_agg(n.id) INTO touched
    FROM (
        SELECT u.id FROM unnest(revive || reopen) AS u (id)
        UNION
        SELECT j.parent_id FROM unnest(revive || reopen) AS u (id) JOIN work.jobs AS j ON j.id = u.id WHERE j.parent_id IS NOT NULL
        UNION
        SELECT d.job_id FROM unnest(revive || reopen) AS u (id) JOIN work.dependencies AS d ON d.on_id = u.id
    ) AS n;
END;
$$;
COMMENT ON FUNCTION work_engine.kin(uuid) IS
    'Whom a retry concerns: jobs that begin anew, groups that are opened again, and all whose counters change by that.';

CREATE FUNCTION work_engine.hold(job uuid, for_retry boolean)
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rounds_max CONSTANT integer := 20;
    ids uuid[];
    found_now uuid[];
BEGIN
    FOR round IN 1..rounds_max LOOP
        BEGIN
            PERFORM FROM work.jobs AS j WHERE j.id = ANY (ids) ORDER BY j.id FOR NO KEY UPDATE;
            -- With a parent locked, nobody adds children to it. If somebody did
            -- before we had the lock, we let go of everything and begin again:
            -- taking theirs on top could be out of order, and so deadlock.
            IF hold.for_retry THEN
                SELECT k.touched INTO found_now FROM work_engine.kin(hold.job) AS k;
            ELSE
                found_now := work_engine.tree(hold.job);
            END IF;
            IF found_now IS NULL THEN
                PERFORM work_engine.refuse(404, 'not_found', 'There is no such job.');
            END IF;
            IF NOT EXISTS (SELECT unnest(found_now) EXCEPT SELECT unnest(ids)) THEN
                RETURN found_now;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'FB001', MESSAGE = 'more jobs than were locked';
        EXCEPTION WHEN SQLSTATE 'FB001' THEN
            ids := found_now;
        END;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'The tree grows too fast; try again.';
END;
$$;
COMMENT ON FUNCTION work_engine.hold(uuid, boolean) IS
    'Locks a job with everything below it, or everything a retry of it concerns, by id; returns them.';

CREATE FUNCTION work_engine.cancel(job uuid, reason text)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    held uuid[] := work_engine.hold(cancel.job, false);
    targets uuid[];
BEGIN
    SELECT array_agg(j.id ORDER BY j.id) INTO held
    FROM work.jobs AS j WHERE j.id = ANY (held) AND j.state IN ('queued', 'running', 'paused');
    IF held IS NULL THEN
        RETURN;
    END IF;
    UPDATE work.jobs AS j
    SET state = 'cancelled', waiting_on = NULL, reason = left(cancel.reason, 1000),
        finished_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE j.id = ANY (held);
    -- Not before: a slot that is given back must not go to one of these.
    PERFORM work_engine.dropped(held, 'cancelled');
    PERFORM work_engine.tell(held);
    targets := work_engine.ended(held);
    IF targets IS NOT NULL THEN
        PERFORM work_engine.arrive(targets);
    END IF;
    RETURN QUERY SELECT h.id, 'cancelled' FROM unnest(held) AS h (id);
END;
$$;
COMMENT ON FUNCTION work_engine.cancel(uuid, text) IS
    'Ends a job and everything below it that is not over, at once: whoever runs them finds the fence. Returns what was ended.';

CREATE FUNCTION work_engine.pause(job uuid)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    held uuid[] := work_engine.hold(pause.job, false);
BEGIN
    SELECT array_agg(j.id ORDER BY j.id) INTO held
    FROM work.jobs AS j WHERE j.id = ANY (held) AND j.state IN ('queued', 'running');
    IF held IS NULL THEN
        RETURN;
    END IF;
    UPDATE work.jobs AS j
    SET paused_from = coalesce(j.waiting_on, CASE j.state WHEN 'running' THEN 'running' ELSE 'ready' END),
        state = 'paused', waiting_on = NULL, updated_at = clock_timestamp()
    WHERE j.id = ANY (held);
    -- Not before: a slot that is given back must not go to one of these.
    PERFORM work_engine.dropped(held, 'paused');
    PERFORM work_engine.tell(held);
    RETURN QUERY SELECT h.id, 'paused' FROM unnest(held) AS h (id);
END;
$$;
COMMENT ON FUNCTION work_engine.pause(uuid) IS
    'Stops a job and everything below it until resume; costs no attempt. News still arrives meanwhile. Returns what was stopped.';

CREATE FUNCTION work_engine.resume(job uuid)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    held uuid[] := work_engine.hold(resume.job, false);
BEGIN
    SELECT array_agg(j.id ORDER BY j.id) INTO held
    FROM work.jobs AS j WHERE j.id = ANY (held) AND j.state = 'paused';
    RETURN QUERY SELECT g.id, g.state FROM work_engine.go_on(held) AS g;
END;
$$;
COMMENT ON FUNCTION work_engine.resume(uuid) IS
    'Lets a job and everything below it go on from where it was paused; returns what was paused.';

CREATE FUNCTION work_engine.go_on(held uuid[])
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    in_line uuid[];
    new_in_line uuid[];
    waiting uuid[];
    suspended uuid[];
BEGIN
    IF held IS NULL THEN
        RETURN;
    END IF;
    WITH judged AS MATERIALIZED (
        SELECT j.id, j.paused_from, CASE
            WHEN j.is_group THEN 'children'
            WHEN j.deps_left > 0 THEN 'dependencies'
            WHEN j.paused_from IN ('time', 'retry') AND j.run_at > clock_timestamp() THEN j.paused_from
            WHEN j.paused_from = 'dependencies' AND j.run_at > clock_timestamp() THEN 'time'
            WHEN j.paused_from IN ('children', 'signal', 'approval', 'timer') THEN j.paused_from END AS gate
        FROM work.jobs AS j WHERE j.id = ANY (held)
    ),
    changed AS (
        UPDATE work.jobs AS j
        SET state = CASE WHEN d.gate IN ('children', 'signal', 'approval', 'timer') THEN 'running' ELSE 'queued' END,
            -- The last ones get past their limit below.
            waiting_on = coalesce(d.gate, 'limit'), paused_from = NULL, updated_at = clock_timestamp()
        FROM judged AS d WHERE j.id = d.id
        RETURNING j.id, d.gate, d.paused_from, j.is_group
    )
    SELECT array_agg(c.id) FILTER (WHERE c.gate IS NULL AND c.paused_from NOT IN ('dependencies', 'time')),
           array_agg(c.id) FILTER (WHERE c.gate IS NULL AND c.paused_from IN ('dependencies', 'time')),
           array_agg(c.id) FILTER (WHERE c.gate = 'dependencies' OR c.is_group),
           array_agg(c.id) FILTER (WHERE c.gate IN ('children', 'signal', 'approval', 'timer') AND NOT c.is_group)
    INTO in_line, new_in_line, waiting, suspended
    FROM changed AS c;
    IF in_line IS NOT NULL THEN
        PERFORM work_engine.line_up(in_line);
    END IF;
    IF new_in_line IS NOT NULL THEN
        PERFORM work_engine.ready(new_in_line);
    END IF;
    PERFORM work_engine.tell_as(held, 'job.resumed');
    IF suspended IS NOT NULL THEN
        PERFORM work_engine.woken(suspended);
    END IF;
    -- What was decided meanwhile happens now.
    IF waiting IS NOT NULL THEN
        PERFORM work_engine.arrive(waiting);
    END IF;
    RETURN QUERY SELECT j.id, j.state FROM work.jobs AS j WHERE j.id = ANY (held) ORDER BY j.id;
END;
$$;
COMMENT ON FUNCTION work_engine.go_on(uuid[]) IS
    'Lets paused jobs, which the caller has locked, go on from where they were.';

CREATE FUNCTION work_engine.retry(job uuid)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    touched uuid[] := work_engine.hold(retry.job, true);
    revived uuid[];
    reopened uuid[];
    free_ones uuid[];
BEGIN
    -- What was locked stays as it is now read.
    IF NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = retry.job AND j.state IN ('failed', 'cancelled')) THEN
        PERFORM work_engine.refuse(409, 'conflict', 'Only a job that failed or was cancelled can be tried again.');
    END IF;
    IF EXISTS (
        SELECT FROM work.jobs AS j JOIN work.jobs AS p ON p.id = j.parent_id
        WHERE j.id = retry.job AND NOT p.is_group AND p.state = 'cancelled')
    THEN
        PERFORM work_engine.refuse(409, 'conflict', 'The parent was cancelled: it is the one to try again.');
    END IF;
    -- No more than was locked, should something below have failed just now.
    SELECT array(SELECT unnest(k.revive) INTERSECT SELECT unnest(touched)), array(SELECT unnest(k.reopen) INTERSECT SELECT unnest(touched))
    INTO revived, reopened
    FROM work_engine.kin(retry.job) AS k;
    UPDATE work.jobs AS j
    SET state = CASE WHEN j.is_group THEN 'running' ELSE 'queued' END,
        waiting_on = CASE WHEN j.is_group THEN 'children' ELSE 'dependencies' END,
        retries = j.retries + 1, failures = 0, crashes = 0, error = NULL, output = NULL, reason = NULL, message = NULL, paused_from = NULL,
        progress = 0, weight_told = 0, run_at = NULL, finished_at = NULL, lease_until = NULL,
        started_at = CASE WHEN j.is_group THEN j.started_at END,
        deadline_at = CASE WHEN j.deadline_at > clock_timestamp() AND j.time_limit IS NULL THEN j.deadline_at END,
        updated_at = clock_timestamp()
    WHERE j.id = ANY (revived || reopened);
    PERFORM work_engine.recount(touched, revived || reopened);
    SELECT array_agg(j.id) INTO free_ones
    FROM work.jobs AS j WHERE j.id = ANY (revived) AND NOT j.is_group AND j.deps_left <= 0;
    IF free_ones IS NOT NULL THEN
        PERFORM work_engine.ready(free_ones);
    END IF;
    PERFORM work_engine.tell_as(revived, 'job.queued');
    PERFORM work_engine.tell_as(reopened, 'job.resumed');
    PERFORM work_engine.arrive(touched);
    RETURN QUERY SELECT j.id, j.state FROM work.jobs AS j WHERE j.id = ANY (revived || reopened) ORDER BY j.id;
END;
$$;
COMMENT ON FUNCTION work_engine.retry(uuid) IS
    'Begins a failed or cancelled job anew, with what failed below it and what was given up because of it; groups above are open again. Steps that are done stay done. Returns what begins anew.';

CREATE FUNCTION work_engine.recount(ids uuid[], anew uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One statement, one snapshot: an end that is not seen here has news that
    -- is not seen either, and comes later.
    WITH stale AS (
        -- An order to cancel holds unless the job itself begins anew.
        DELETE FROM work_engine.arrivals AS a
        WHERE a.job_id = ANY (recount.ids) AND (a.kind <> 'cancel' OR a.job_id = ANY (recount.anew))
    ),
    children AS (
        SELECT c.parent_id, count(*) FILTER (WHERE c.state IN ('queued', 'running', 'paused')) AS open,
               count(*) FILTER (WHERE c.state = 'failed') AS failed,
               sum(CASE WHEN c.state IN ('queued', 'running', 'paused') THEN c.weight_told ELSE c.weight END)::real AS weight
        FROM work.jobs AS c WHERE c.parent_id = ANY (recount.ids) GROUP BY c.parent_id
    ),
    needed AS (
        SELECT d.job_id, count(*) AS edges,
               count(*) FILTER (WHERE o.state IN ('queued', 'running', 'paused')) AS open,
               count(*) FILTER (WHERE CASE d.condition WHEN 'success' THEN o.state = 'completed' WHEN 'failure' THEN o.state = 'failed'
                                ELSE o.state IN ('completed', 'failed', 'cancelled') END) AS met
        FROM work.dependencies AS d JOIN work.jobs AS o ON o.id = d.on_id
        WHERE d.job_id = ANY (recount.ids) GROUP BY d.job_id
    )
    UPDATE work.jobs AS j
    SET children_open = coalesce(c.open, 0), children_failed = coalesce(c.failed, 0), weight_done = coalesce(c.weight, 0),
        progress = CASE WHEN j.state IN ('queued', 'running', 'paused') AND j.weight_total > 0
                        THEN least(1, greatest(0, coalesce(c.weight, 0) / j.weight_total)) ELSE j.progress END,
        deps_open = coalesce(n.open, 0),
        -- What is no longer there to depend on has ended well enough.
        deps_left = j.deps_need - coalesce(n.met, 0) - (j.deps_total - coalesce(n.edges, 0))
    FROM work.jobs AS k
    LEFT JOIN children AS c ON c.parent_id = k.id
    LEFT JOIN needed AS n ON n.job_id = k.id
    WHERE k.id = ANY (recount.ids) AND j.id = k.id;
END;
$$;
COMMENT ON FUNCTION work_engine.recount(uuid[], uuid[]) IS
    'Counts children and dependencies of jobs, which are locked, afresh, and drops the news that is in the count.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
