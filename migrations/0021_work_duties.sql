-- Why: what nobody asks for and somebody must do: rescue what dead workers hold,
-- start what is due, end what is late. Every duty may run anywhere, at any time,
-- any number of times: rows that somebody else has are skipped.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work_engine.rescue(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    -- A job that takes its worker down this often does it again.
    crashes_max CONSTANT integer := 5;
    held uuid[];
    ended uuid[];
    again uuid[];
    keys text[];
    targets uuid[];
BEGIN
    SELECT array_agg(j.id) INTO held
    FROM (
        SELECT j.id FROM work.jobs AS j
        WHERE j.state = 'running' AND j.lease_until < clock_timestamp()
        ORDER BY j.lease_until LIMIT rescue.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF held IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO work.attempts (job_id, epoch, outcome, worker, code_version, started_at)
    SELECT j.id, j.epoch, 'crashed', j.worker, j.code_version, j.started_at FROM work.jobs AS j WHERE j.id = ANY (held)
    ON CONFLICT DO NOTHING;
    WITH changed AS (
        UPDATE work.jobs AS j
        SET crashes = j.crashes + 1, lease_until = NULL, updated_at = clock_timestamp(),
            state = CASE WHEN j.crashes + 1 >= crashes_max THEN 'failed' ELSE 'queued' END,
            waiting_on = CASE WHEN j.crashes + 1 < crashes_max AND cardinality(j.limit_keys) > 0 THEN 'limit' END,
            error = CASE WHEN j.crashes + 1 >= crashes_max THEN '{"code": "poisoned"}' ELSE j.error END,
            finished_at = CASE WHEN j.crashes + 1 >= crashes_max THEN clock_timestamp() END
        WHERE j.id = ANY (held)
        RETURNING j.id, j.state, j.limit_keys
    )
    SELECT array_agg(c.id) FILTER (WHERE c.state = 'failed'), array_agg(c.id) FILTER (WHERE c.state = 'queued')
    INTO ended, again
    FROM changed AS c;
    SELECT array_agg(DISTINCT k.key) INTO keys
    FROM work.jobs AS j CROSS JOIN LATERAL unnest(j.limit_keys) AS k (key) WHERE j.id = ANY (held);
    IF keys IS NOT NULL THEN
        PERFORM work_engine.free(held);
        PERFORM work_engine.grant_keys(keys);
    END IF;
    PERFORM work_engine.tell_as(again, 'job.retrying');
    IF ended IS NOT NULL THEN
        PERFORM work_engine.tell(ended);
        targets := work_engine.ended(ended);
        IF targets IS NOT NULL THEN
            PERFORM work_engine.arrive(targets);
        END IF;
    END IF;
    RETURN cardinality(held);
END;
$$;
COMMENT ON FUNCTION work_engine.rescue(integer) IS
    'Takes jobs back from workers whose lease ran out; the fifth time the job fails as poisoned. Returns how many.';

CREATE FUNCTION work_engine.promote(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    due uuid[];
    done integer := 0;
BEGIN
    SELECT array_agg(j.id) INTO due
    FROM (
        SELECT j.id FROM work.jobs AS j
        WHERE j.run_at <= clock_timestamp() AND j.waiting_on IN ('time', 'retry') AND j.state = 'queued'
        ORDER BY j.run_at LIMIT promote.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF due IS NOT NULL THEN
        PERFORM work_engine.ready(due);
        done := cardinality(due);
    END IF;
    done := done + work_engine.expire(promote.most);
    -- Timers and waits with an end come with a later migration.
    IF to_regprocedure('work_engine.due_steps(integer)') IS NOT NULL THEN
        done := done + coalesce(work_engine.due_steps(promote.most), 0);
    END IF;
    RETURN done;
END;
$$;
COMMENT ON FUNCTION work_engine.promote(integer) IS
    'Starts what is due: delays, backoffs, timers; ends what is past its deadline. Returns how many.';

CREATE FUNCTION work_engine.expire(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    late uuid[];
    targets uuid[];
BEGIN
    SELECT array_agg(j.id) INTO late
    FROM (
        SELECT j.id FROM work.jobs AS j
        WHERE j.deadline_at <= clock_timestamp() AND j.state IN ('queued', 'running', 'paused')
        ORDER BY j.deadline_at LIMIT expire.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF late IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE work.jobs AS j
    SET state = 'failed', waiting_on = NULL, reason = NULL, error = '{"code": "deadline"}',
        finished_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE j.id = ANY (late);
    -- Not before: a slot that is given back must not go to one of these.
    PERFORM work_engine.dropped(late, 'timed_out');
    PERFORM work_engine.tell(late);
    targets := work_engine.order_cancel(late, 'deadline', true);
    targets := targets || work_engine.ended(late);
    IF targets IS NOT NULL THEN
        PERFORM work_engine.arrive(targets);
    END IF;
    RETURN cardinality(late);
END;
$$;
COMMENT ON FUNCTION work_engine.expire(integer) IS 'Fails what is past its deadline and has what is below it cancelled; returns how many.';

CREATE FUNCTION work_engine.prune(most integer, older interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    -- So that one round stays short however large the trees are.
    rows_max CONSTANT integer := 20000;
    roots uuid[];
    old_root uuid;
    ids uuid[];
    held integer;
    seen integer := 0;
    gone uuid[] := '{}';
BEGIN
    SELECT array_agg(j.id) INTO roots
    FROM (
        SELECT j.id FROM work.jobs AS j LEFT JOIN work.job_types AS t ON t.name = j.type
        WHERE j.parent_id IS NULL AND j.finished_at IS NOT NULL
          AND j.finished_at < clock_timestamp() - coalesce(t.keep_for, prune.older)
        ORDER BY j.finished_at LIMIT prune.most
        FOR UPDATE OF j SKIP LOCKED
    ) AS j;
    FOREACH old_root IN ARRAY coalesce(roots, '{}') LOOP
        EXIT WHEN seen >= rows_max;
        ids := work_engine.tree(old_root);
        seen := seen + cardinality(ids);
        -- A tree goes as a whole or stays: nothing in it may be at work, or be
        -- looked at by somebody, or be what a job elsewhere still waits for.
        CONTINUE WHEN EXISTS (SELECT FROM work.jobs AS j WHERE j.id = ANY (ids) AND j.state IN ('queued', 'running', 'paused'));
        CONTINUE WHEN EXISTS (
            SELECT FROM work.dependencies AS d JOIN work.jobs AS j ON j.id = d.job_id
            WHERE d.on_id = ANY (ids) AND j.state IN ('queued', 'running', 'paused'));
        PERFORM FROM work.jobs AS j WHERE j.id = ANY (ids) FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS held = ROW_COUNT;
        CONTINUE WHEN held < cardinality(ids);
        gone := gone || old_root;
        DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (ids);
    END LOOP;
    DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (gone);
    DELETE FROM work.streams AS s WHERE s.id = ANY (gone);
    -- Everything that a job has goes with it.
    DELETE FROM work.jobs AS j WHERE j.id = ANY (gone);
    RETURN cardinality(gone);
END;
$$;
COMMENT ON FUNCTION work_engine.prune(integer, interval) IS
    'Deletes whole trees whose root ended so long ago, or as its type says, and in which nothing is open; returns how many.';

CREATE FUNCTION work_engine.check()
RETURNS TABLE (problem text, id uuid)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, so one snapshot: what is being changed right now is seen
    -- as before or as after, never in between.
    WITH news AS (
        SELECT a.job_id, count(*) AS n, count(*) FILTER (WHERE a.kind = 'child') AS ended,
               count(*) FILTER (WHERE a.kind = 'child' AND a.state = 'failed') AS failed,
               count(*) FILTER (WHERE a.kind = 'dependency') AS deps, count(*) FILTER (WHERE a.satisfied) AS met,
               sum(a.weight) AS weight
        FROM work_engine.arrivals AS a GROUP BY a.job_id
    ),
    children AS (
        SELECT c.parent_id, count(*) AS total, count(*) FILTER (WHERE c.state IN ('queued', 'running', 'paused')) AS open,
               count(*) FILTER (WHERE c.state = 'failed') AS failed, sum(c.weight) AS weight_total,
               sum(CASE WHEN c.state IN ('queued', 'running', 'paused') THEN c.weight_told ELSE c.weight END) AS weight
        FROM work.jobs AS c WHERE c.parent_id IS NOT NULL GROUP BY c.parent_id
    ),
    needed AS (
        SELECT d.job_id, count(*) AS edges, count(*) FILTER (WHERE o.state IN ('queued', 'running', 'paused')) AS open,
               count(*) FILTER (WHERE CASE d.condition WHEN 'success' THEN o.state = 'completed' WHEN 'failure' THEN o.state = 'failed'
                                ELSE o.state IN ('completed', 'failed', 'cancelled') END) AS met
        FROM work.dependencies AS d JOIN work.jobs AS o ON o.id = d.on_id GROUP BY d.job_id
    ),
    j AS (
        SELECT j.*, j.state IN ('queued', 'running', 'paused') AS open, coalesce(n.n, 0) AS news,
               j.children_open - coalesce(n.ended, 0) AS children_open_soon, j.children_failed + coalesce(n.failed, 0) AS children_failed_soon,
               j.weight_done + coalesce(n.weight, 0) AS weight_done_soon,
               j.deps_open - coalesce(n.deps, 0) AS deps_open_soon, j.deps_left - coalesce(n.met, 0) AS deps_left_soon,
               coalesce(c.total, 0) AS c_total, coalesce(c.open, 0) AS c_open, coalesce(c.failed, 0) AS c_failed,
               coalesce(c.weight_total, 0) AS c_weight_total, coalesce(c.weight, 0) AS c_weight,
               coalesce(d.edges, 0) AS d_edges, coalesce(d.open, 0) AS d_open, coalesce(d.met, 0) AS d_met
        FROM work.jobs AS j LEFT JOIN news AS n ON n.job_id = j.id LEFT JOIN children AS c ON c.parent_id = j.id
        LEFT JOIN needed AS d ON d.job_id = j.id
    )
    SELECT v.problem, j.id
    FROM j CROSS JOIN LATERAL (VALUES
        ('children_total', j.children_total <> j.c_total),
        ('children_open', j.children_open_soon <> j.c_open),
        ('children_failed', j.children_failed_soon <> j.c_failed),
        ('weight_total', abs(j.weight_total - j.c_weight_total) > 0.001 * (1 + j.c_weight_total)),
        ('weight_done', abs(j.weight_done_soon - j.c_weight) > 0.001 * (1 + j.c_weight_total)),
        ('deps_open', j.deps_open_soon <> j.d_open),
        ('deps_left', j.deps_left_soon <> j.deps_need - j.d_met - (j.deps_total - j.d_edges)),
        ('dependencies decided, job still waits', j.news = 0 AND j.state = 'queued' AND j.waiting_on = 'dependencies'
            AND (j.deps_left <= 0 OR j.deps_open < j.deps_left)),
        ('started before its dependencies', j.epoch > 0 AND j.news = 0 AND j.deps_left > 0 AND j.state IN ('running', 'completed')
            AND NOT EXISTS (SELECT FROM work.dependencies AS d JOIN work.jobs AS o ON o.id = d.on_id WHERE d.job_id = j.id AND o.retries > 0)),
        ('group has no open child and is not over', j.news = 0 AND j.is_group AND j.state = 'running' AND j.children_open <= 0),
        ('group in a state that groups do not have', j.is_group AND (j.epoch > 0 OR j.state = 'queued' OR j.lease_until IS NOT NULL
            OR j.state = 'running' AND j.waiting_on IS DISTINCT FROM 'children')),
        ('over, but open children of a group', j.is_group AND NOT j.open AND j.news = 0 AND j.c_open > 0
            AND NOT EXISTS (SELECT FROM work_engine.arrivals AS a JOIN work.jobs AS k ON k.id = a.job_id
                            WHERE k.parent_id = j.id AND a.kind = 'cancel')),
        ('over, but still held', NOT j.open AND (j.lease_until IS NOT NULL OR j.waiting_on IS NOT NULL)),
        ('over without an end', NOT j.open AND j.finished_at IS NULL),
        ('open with an end', j.open AND j.finished_at IS NOT NULL),
        ('completed, but progress says otherwise', j.state = 'completed' AND j.progress <> 1),
        ('running without a lease', j.state = 'running' AND j.waiting_on IS NULL AND (j.lease_until IS NULL OR j.epoch = 0)),
        ('lease without running', j.lease_until IS NOT NULL AND (j.state <> 'running' OR j.waiting_on IS NOT NULL)),
        ('waits for a time that it does not have', j.state = 'queued' AND j.waiting_on IN ('time', 'retry') AND j.run_at IS NULL),
        ('waits for limits that it does not have', j.waiting_on = 'limit' AND coalesce(cardinality(j.limit_keys), 0) = 0),
        ('waits in a way its state does not', CASE j.state
            WHEN 'queued' THEN j.waiting_on IN ('children', 'signal', 'approval', 'timer')
            WHEN 'running' THEN j.waiting_on NOT IN ('children', 'signal', 'approval', 'timer') END),
        ('suspended for nothing', j.state = 'running' AND j.waiting_on IN ('signal', 'approval', 'timer') AND NOT EXISTS (
            SELECT FROM work.steps AS s WHERE s.job_id = j.id AND s.state = 'waiting')),
        ('suspended for children that are over', j.news = 0 AND NOT j.is_group AND j.state = 'running' AND j.waiting_on = 'children'
            AND j.children_open <= 0 AND NOT EXISTS (SELECT FROM work.steps AS s WHERE s.job_id = j.id AND s.state = 'waiting' AND s.kind <> 'children')),
        ('paused from nowhere', (j.state = 'paused') <> (j.paused_from IS NOT NULL)),
        ('failed more often than it may', j.failures > j.max_attempts),
        ('tree does not fit', CASE WHEN j.parent_id IS NULL THEN j.root_id <> j.id OR j.depth <> 0 ELSE NOT EXISTS (
            SELECT FROM work.jobs AS p WHERE p.id = j.parent_id AND p.root_id = j.root_id AND p.depth = j.depth - 1
              AND p.owner IS NOT DISTINCT FROM j.owner) END),
        ('slots of a job that does not run', EXISTS (SELECT FROM work_engine.slots AS s WHERE s.job_id = j.id)
            AND NOT (j.state = 'queued' AND j.waiting_on IS NULL OR j.state = 'running' AND j.waiting_on IS NULL)),
        ('tells a stream that there is not', j.stream_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM work.streams AS s WHERE s.id = j.stream_id))
    ) AS v (problem, found)
    WHERE v.found
    UNION ALL
    SELECT 'numbers of events have gaps', s.id
    FROM work.streams AS s
    LEFT JOIN (SELECT e.stream_id, count(*) AS n, max(e.seq) AS last FROM work.events AS e GROUP BY e.stream_id) AS e ON e.stream_id = s.id
    WHERE s.last_seq <> coalesce(e.n, 0) OR s.last_seq <> coalesce(e.last, 0)
    UNION ALL
    SELECT 'news for a job that there is not', a.job_id
    FROM work_engine.arrivals AS a WHERE NOT EXISTS (SELECT FROM work.jobs AS k WHERE k.id = a.job_id)
$$;
COMMENT ON FUNCTION work_engine.check() IS
    'Every row that breaks a rule, with the rule. Empty on a healthy database, also while it works.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
