-- Why: how news travels: ends of jobs reach parents and dependants, whatever
-- follows from them follows, and what is free to start is let start.
-- Nothing here waits for a lock: what somebody else holds is left as a row and
-- applied by whoever comes next, so that no order of calls can deadlock.
-- Lock impact: three columns with constant defaults (no rewrite) on `work.jobs`,
-- one constraint on an internal table; new functions.

ALTER TABLE work.jobs
    -- Dependencies at submission, and how many of them must be satisfied.
    ADD COLUMN deps_total integer NOT NULL DEFAULT 0,
    ADD COLUMN deps_need integer NOT NULL DEFAULT 0,
    -- How much of this job's weight its parent has been told of while it was
    -- not over; of a job that is over it is all.
    ADD COLUMN weight_told real NOT NULL DEFAULT 0,
    -- How often it was begun anew after its end.
    ADD COLUMN retries integer NOT NULL DEFAULT 0;
-- An arrival may also be an order: the parent is over or gives up.
ALTER TABLE work_engine.arrivals DROP CONSTRAINT arrivals_kind_check;
ALTER TABLE work_engine.arrivals
    ADD CONSTRAINT arrivals_kind_check CHECK (kind IN ('child', 'dependency', 'progress', 'cancel'));
COMMENT ON COLUMN work_engine.arrivals.state IS 'How the source ended; of an order to cancel, the reason.';

CREATE FUNCTION work_engine.free(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[];
BEGIN
    WITH gone AS (DELETE FROM work_engine.slots AS s WHERE s.job_id = ANY (free.ids) RETURNING s.key)
    SELECT array_agg(DISTINCT g.key) INTO keys FROM gone AS g;
    PERFORM work_engine.grant_keys(keys);
END;
$$;
COMMENT ON FUNCTION work_engine.free(uuid[]) IS 'Gives back the slots of jobs that run no longer, to whoever waits for them.';

CREATE FUNCTION work_engine.grant_keys(keys text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Limits come with a later migration; before it nothing would wait for one.
    IF cardinality(keys) > 0 AND to_regprocedure('work_engine.grant(text[])') IS NOT NULL THEN
        PERFORM work_engine.grant(keys);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.grant_keys(text[]) IS 'Lets start what waits for these limits and fits, where the limits'' functions exist.';

CREATE FUNCTION work_engine.ready(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.place(ready.ids);
    PERFORM work_engine.line_up(ready.ids);
END;
$$;
COMMENT ON FUNCTION work_engine.ready(uuid[]) IS
    'Jobs that nothing keeps from starting but perhaps a limit get their place in line. The caller has locked them.';

CREATE FUNCTION work_engine.line_up(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[];
BEGIN
    UPDATE work.jobs AS j
    SET state = 'queued', waiting_on = CASE WHEN cardinality(j.limit_keys) > 0 THEN 'limit' END,
        reason = NULL, updated_at = clock_timestamp()
    WHERE j.id = ANY (line_up.ids);
    SELECT array_agg(DISTINCT k.key) INTO keys
    FROM work.jobs AS j CROSS JOIN LATERAL unnest(j.limit_keys) AS k (key)
    WHERE j.id = ANY (line_up.ids) AND j.limit_keys IS NOT NULL;
    PERFORM work_engine.grant_keys(keys);
END;
$$;
COMMENT ON FUNCTION work_engine.line_up(uuid[]) IS 'As ready, for jobs that keep the place they had.';

CREATE FUNCTION work_engine.woken(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What else a job may wait for comes with a later migration, and with it
    -- who knows whether all of it has come.
    IF to_regprocedure('work_engine.wake(uuid[])') IS NOT NULL THEN
        PERFORM work_engine.wake(woken.ids);
    ELSE
        PERFORM work_engine.ready(array_agg(j.id))
        FROM work.jobs AS j
        WHERE j.id = ANY (woken.ids) AND j.waiting_on = 'children' AND j.children_open <= 0
        HAVING count(*) > 0;
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.woken(uuid[]) IS 'Suspended jobs for which something has come, or may have, go on if it is enough.';

CREATE FUNCTION work_engine.ended(ids uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    targets uuid[];
BEGIN
    WITH news AS (
        INSERT INTO work_engine.arrivals (job_id, kind, source_id, state, satisfied, weight)
        SELECT j.parent_id, 'child', j.id, j.state, NULL::boolean, j.weight - j.weight_told
        FROM work.jobs AS j
        WHERE j.id = ANY (ids) AND j.parent_id IS NOT NULL
        UNION ALL
        SELECT d.job_id, 'dependency', j.id, j.state,
               CASE d.condition WHEN 'success' THEN j.state = 'completed' WHEN 'failure' THEN j.state = 'failed' ELSE true END, 0
        FROM work.dependencies AS d JOIN work.jobs AS j ON j.id = d.on_id
        WHERE d.on_id = ANY (ids)
        RETURNING job_id
    )
    SELECT array_agg(DISTINCT n.job_id) INTO targets FROM news AS n;
    RETURN targets;
END;
$$;
COMMENT ON FUNCTION work_engine.ended(uuid[]) IS
    'Leaves the news of jobs that have just ended for their parents and dependants, and returns whom it is for.';

CREATE FUNCTION work_engine.order_cancel(parents uuid[], reason text, deep boolean)
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- One probe for each parent, however large the table has become.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    targets uuid[];
BEGIN
    WITH RECURSIVE below AS (
        SELECT c.id, c.parent_id, c.state FROM work.jobs AS c WHERE c.parent_id = ANY (parents)
        UNION ALL
        -- A handler that is over may have left children at work.
        SELECT c.id, c.parent_id, c.state
        FROM below AS b JOIN work.jobs AS c ON c.parent_id = b.id
        WHERE order_cancel.deep AND b.state NOT IN ('queued', 'running', 'paused')
    ),
    orders AS (
        INSERT INTO work_engine.arrivals (job_id, kind, source_id, state)
        SELECT b.id, 'cancel', b.parent_id, order_cancel.reason
        FROM below AS b
        WHERE b.state IN ('queued', 'running', 'paused')
        RETURNING job_id
    )
    SELECT array_agg(o.job_id) INTO targets FROM orders AS o;
    RETURN targets;
END;
$$;
COMMENT ON FUNCTION work_engine.order_cancel(uuid[], text, boolean) IS
    'Tells the children that are not over to give up, with `deep` also those below children that are over, and returns them. With the parents locked nobody can add another.';

CREATE FUNCTION work_engine.dropped(ids uuid[], outcome text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO work.attempts (job_id, epoch, outcome, worker, code_version, started_at)
    SELECT j.id, j.epoch, dropped.outcome, j.worker, j.code_version, j.started_at
    FROM work.jobs AS j
    WHERE j.id = ANY (dropped.ids) AND j.lease_until IS NOT NULL
    ON CONFLICT DO NOTHING;
    UPDATE work.jobs AS j
    SET lease_until = NULL, paused_from = CASE WHEN dropped.outcome = 'paused' THEN j.paused_from END
    WHERE j.id = ANY (dropped.ids) AND (j.lease_until IS NOT NULL OR j.paused_from IS NOT NULL AND dropped.outcome <> 'paused');
    IF dropped.outcome <> 'paused' THEN
        -- One that is being answered right now finds its job over.
        UPDATE work.approvals AS a SET state = 'withdrawn'
        WHERE a.id IN (
            SELECT p.id FROM work.approvals AS p
            WHERE p.job_id = ANY (dropped.ids) AND p.state = 'pending'
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    PERFORM work_engine.free(dropped.ids);
END;
$$;
COMMENT ON FUNCTION work_engine.dropped(uuid[], text) IS
    'What holders of these jobs lose when somebody else stops them: the lease, the slots, the questions they asked.';

CREATE FUNCTION work_engine.arrive(targets uuid[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- One round goes one step up the tree or along a chain of dependencies.
    -- What is further away is left for the duty: this bounds a transaction.
    rounds_max CONSTANT integer := 100;
    wanted uuid[] := arrive.targets;
    held uuid[];
    over uuid[];
    stopped uuid[];
    ready uuid[];
    woken uuid[];
    failing uuid[];
    applied integer := 0;
    news integer;
BEGIN
    FOR round IN 1..rounds_max LOOP
        EXIT WHEN wanted IS NULL;
        SELECT array_agg(j.id) INTO held
        FROM (
            SELECT j.id FROM work.jobs AS j WHERE j.id = ANY (wanted) ORDER BY j.id FOR NO KEY UPDATE SKIP LOCKED
        ) AS j;
        EXIT WHEN held IS NULL;
        SELECT a.news, a.over, a.stopped, a.ready, a.woken, a.failing INTO news, over, stopped, ready, woken, failing
        FROM work_engine.apply(held) AS a;
        applied := applied + news;
        wanted := NULL;
        IF failing IS NOT NULL THEN
            wanted := work_engine.order_cancel(failing, 'sibling failed', false);
        END IF;
        IF stopped IS NOT NULL THEN
            PERFORM work_engine.dropped(stopped, 'cancelled');
            wanted := wanted || work_engine.order_cancel(stopped, 'parent cancelled', true);
        END IF;
        IF ready IS NOT NULL THEN
            PERFORM work_engine.ready(ready);
        END IF;
        IF woken IS NOT NULL THEN
            PERFORM work_engine.woken(woken);
        END IF;
        IF over IS NOT NULL THEN
            PERFORM work_engine.tell(over);
            wanted := wanted || work_engine.ended(over);
        END IF;
        -- Parents of what has advanced without an end.
        wanted := wanted || work_engine.advance(held);
    END LOOP;
    RETURN applied;
END;
$$;
COMMENT ON FUNCTION work_engine.arrive(uuid[]) IS
    'Applies the news of these jobs and whatever follows from it, as far as the rows are free; returns how many pieces of news.';

CREATE FUNCTION work_engine.advance(held uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Its lists may be long, which a plan made once does not know.
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    targets uuid[];
BEGIN
    WITH moved AS (
        SELECT j.id, j.parent_id, j.weight * j.progress - j.weight_told AS delta
        FROM work.jobs AS j
        WHERE j.id = ANY (held) AND j.parent_id IS NOT NULL AND j.state IN ('queued', 'running', 'paused')
          AND j.weight * j.progress <> j.weight_told
    ),
    told AS (
        UPDATE work.jobs AS j SET weight_told = j.weight * j.progress FROM moved AS m WHERE j.id = m.id AND j.id = ANY (held)
    ),
    news AS (
        INSERT INTO work_engine.arrivals (job_id, kind, source_id, weight)
        SELECT m.parent_id, 'progress', m.id, m.delta FROM moved AS m
        RETURNING job_id
    )
    SELECT array_agg(DISTINCT n.job_id) INTO targets FROM news AS n;
    RETURN targets;
END;
$$;
COMMENT ON FUNCTION work_engine.advance(uuid[]) IS
    'Tells parents how far these jobs, which are locked, have come since they were told last; returns the parents.';

CREATE FUNCTION work_engine.apply(
    held uuid[], OUT news integer, OUT over uuid[], OUT stopped uuid[], OUT ready uuid[], OUT woken uuid[],
    OUT failing uuid[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Its lists may be long, which a plan made once does not know.
SET enable_nestloop = off
AS $$
#variable_conflict use_column
BEGIN
    WITH news AS (
        DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (held)
        RETURNING a.job_id, a.kind, a.state, a.satisfied, a.weight
    ),
    sums AS (
        SELECT n.job_id, count(*) AS news,
               count(*) FILTER (WHERE n.kind = 'child') AS ended,
               count(*) FILTER (WHERE n.kind = 'child' AND n.state = 'failed') AS failed,
               sum(n.weight)::real AS weight,
               count(*) FILTER (WHERE n.kind = 'dependency') AS deps,
               count(*) FILTER (WHERE n.satisfied) AS met,
               min(n.state) FILTER (WHERE n.kind = 'cancel') AS stop
        FROM news AS n GROUP BY n.job_id
    ),
    counted AS (
        SELECT j.id, j.state, j.waiting_on, j.is_group, j.on_child_failure, j.run_at, j.progress, j.weight_total, j.children_total,
               coalesce(s.news, 0) AS news, coalesce(s.failed, 0) AS failed, s.stop,
               j.children_open - coalesce(s.ended, 0) AS children_open,
               j.children_failed + coalesce(s.failed, 0) AS children_failed,
               j.deps_open - coalesce(s.deps, 0) AS deps_open,
               j.deps_left - coalesce(s.met, 0) AS deps_left,
               -- Sums of fractions drift; with all children over it is exact.
               CASE WHEN j.children_open = coalesce(s.ended, 0) THEN j.weight_total
                    ELSE j.weight_done + coalesce(s.weight, 0) END AS weight_done
        FROM work.jobs AS j LEFT JOIN sums AS s ON s.job_id = j.id
        WHERE j.id = ANY (held)
    ),
    judged AS MATERIALIZED (
        SELECT c.*, CASE
            WHEN c.state NOT IN ('queued', 'running', 'paused') THEN NULL
            WHEN c.stop IS NOT NULL THEN 'cancelled'
            WHEN c.state = 'queued' AND c.waiting_on = 'dependencies' THEN CASE
                WHEN c.deps_left <= 0 AND c.run_at > clock_timestamp() THEN 'time'
                WHEN c.deps_left <= 0 THEN 'ready'
                WHEN c.deps_open < c.deps_left THEN 'impossible' END
            WHEN c.state = 'running' AND c.waiting_on = 'children' AND c.children_open <= 0 THEN CASE
                WHEN NOT c.is_group THEN 'wake'
                WHEN c.children_failed > 0 AND c.on_child_failure <> 'ignore' THEN 'failed'
                WHEN c.children_total > 0 AND NOT EXISTS (
                    SELECT FROM work.jobs AS k WHERE k.parent_id = c.id AND k.state <> 'cancelled') THEN 'cancelled'
                ELSE 'completed' END
            END AS verdict
        FROM counted AS c
    ),
    changed AS (
        UPDATE work.jobs AS j
        SET children_open = d.children_open, children_failed = d.children_failed,
            deps_open = d.deps_open, deps_left = d.deps_left, weight_done = d.weight_done,
            progress = CASE
                WHEN d.verdict = 'completed' THEN 1
                WHEN d.state IN ('queued', 'running', 'paused') AND d.weight_total > 0
                    THEN least(1, greatest(0, d.weight_done / d.weight_total))
                ELSE j.progress END,
            state = CASE WHEN d.verdict IN ('completed', 'failed', 'cancelled') THEN d.verdict
                         WHEN d.verdict = 'impossible' THEN 'cancelled' ELSE j.state END,
            waiting_on = CASE WHEN d.verdict = 'time' THEN 'time'
                              WHEN d.verdict IN ('completed', 'failed', 'cancelled', 'impossible') THEN NULL ELSE j.waiting_on END,
            reason = CASE WHEN d.verdict = 'cancelled' THEN d.stop
                          WHEN d.verdict = 'impossible' THEN 'dependency failed' ELSE j.reason END,
            error = CASE WHEN d.verdict = 'failed' THEN '{"code": "child_failed"}' ELSE j.error END,
            finished_at = CASE WHEN d.verdict IN ('completed', 'failed', 'cancelled', 'impossible')
                               THEN clock_timestamp() ELSE j.finished_at END,
            updated_at = clock_timestamp()
        FROM judged AS d
        WHERE j.id = d.id AND j.id = ANY (held) AND (d.news > 0 OR d.verdict IS NOT NULL)
    )
    SELECT sum(d.news)::integer,
           array_agg(d.id) FILTER (WHERE d.verdict IN ('completed', 'failed', 'cancelled', 'impossible')),
           array_agg(d.id) FILTER (WHERE d.verdict IN ('cancelled', 'impossible')),
           array_agg(d.id) FILTER (WHERE d.verdict = 'ready'),
           array_agg(d.id) FILTER (WHERE d.verdict = 'wake'),
           array_agg(d.id) FILTER (WHERE d.failed > 0 AND d.children_open > 0 AND d.on_child_failure = 'fail'
                                     AND d.state IN ('queued', 'running', 'paused') AND d.stop IS NULL)
    INTO apply.news, apply.over, apply.stopped, apply.ready, apply.woken, apply.failing
    FROM judged AS d;
END;
$$;
COMMENT ON FUNCTION work_engine.apply(uuid[]) IS
    'Folds the news of jobs, locked in a statement before, into their counters and decides what becomes of each.';

CREATE FUNCTION work_engine.arrive_some(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted uuid[];
    gone integer;
BEGIN
    SELECT array_agg(DISTINCT a.job_id) INTO wanted
    FROM (SELECT a.job_id FROM work_engine.arrivals AS a ORDER BY a.id LIMIT arrive_some.most) AS a;
    IF wanted IS NULL THEN
        RETURN 0;
    END IF;
    -- News for a job that was deleted meanwhile is no news.
    DELETE FROM work_engine.arrivals AS a
    WHERE a.job_id = ANY (wanted) AND NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = a.job_id);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone + work_engine.arrive(wanted);
END;
$$;
COMMENT ON FUNCTION work_engine.arrive_some(integer) IS
    'Applies news that was left because its job was locked; returns how many pieces. Zero: nothing to do, or all still locked.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
