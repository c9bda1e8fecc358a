-- Why: jobs, groups and suspended handlers wait for one another, and a circle of
-- waits never ends. Until now a submission could close one through jobs that were
-- there already: by way of another job of the submission, below a job that was
-- new itself, or below a handler that waits for its children.
-- All of it is looked at in one place now, whatever state the jobs are in: what
-- is over may be tried again, and must find no circle then either.
-- Lock impact: replaces functions only; no existing relation is locked.

CREATE FUNCTION work_engine.awaits_children(j work.jobs)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A handler that something else may wake as well is not stuck with them.
    RETURN j.is_group OR coalesce(j.waiting_on, j.paused_from) = 'children'
        AND (j.wait_mode IS DISTINCT FROM 'any' OR cardinality(j.waits) = 1);
END;
$$;
COMMENT ON FUNCTION work_engine.awaits_children(work.jobs) IS
    'Whether a job cannot go on before its children are over: groups never can, handlers while they wait for nothing else.';

CREATE FUNCTION work_engine.waiters(ids uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- One probe for each, however large the tables have become.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    -- Two transactions could each close half of a circle. The key is nobody
    -- else's, and what was committed before we got it is seen from here on.
    PERFORM pg_advisory_xact_lock(hashtextextended('ferrobase_work circles', 0));
    RETURN (
        WITH RECURSIVE w (id) AS (
            SELECT i.id FROM unnest(ids) AS i (id)
            UNION
            SELECT n.id
            FROM w CROSS JOIN LATERAL (
                SELECT d.job_id FROM work.dependencies AS d WHERE d.on_id = w.id
                UNION ALL
                SELECT p.id FROM work.jobs AS c JOIN work.jobs AS p ON p.id = c.parent_id
                WHERE c.id = w.id AND work_engine.awaits_children(p)
            ) AS n (id)
        )
        SELECT array_agg(w.id) FROM w);
END;
$$;
COMMENT ON FUNCTION work_engine.waiters(uuid[]) IS
    'These jobs and whoever waits for them, over however many others. Until the transaction ends nobody else asks.';

CREATE FUNCTION work_engine.old_waiters(places work_engine.place[], edges work_engine.edge[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parents uuid[];
BEGIN
    -- The way into what is there already is a dependency, the way back a child
    -- of something that waits for it.
    IF NOT EXISTS (SELECT FROM unnest(edges) AS e WHERE e.on_ord IS NULL) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(j.id) INTO parents
    FROM (SELECT DISTINCT p.parent_id FROM unnest(places) AS p WHERE NOT p.skip AND p.parent_id IS NOT NULL) AS p
    JOIN work.jobs AS j ON j.id = p.parent_id
    WHERE work_engine.awaits_children(j);
    IF parents IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN work_engine.waiters(parents);
END;
$$;
COMMENT ON FUNCTION work_engine.old_waiters(work_engine.place[], work_engine.edge[]) IS
    'The jobs that are there already and would wait for one of a submission; none if it depends on none that is there.';

CREATE FUNCTION work_engine.waits(
    specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[], olds uuid[])
RETURNS TABLE (on_n integer, by_n integer)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.on_ord, e.by_ord FROM unnest(edges) AS e WHERE e.on_ord IS NOT NULL
    UNION ALL
    -- A group waits for its children.
    SELECT c.ord, g.ord
    FROM unnest(places) AS c JOIN unnest(places) AS g ON g.id = c.parent_id
    JOIN unnest(specs) AS s ON s.ord = g.ord AND s.is_group;
    IF olds IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH o AS MATERIALIZED (
        SELECT u.id, (cardinality(places) + u.n)::integer AS n, j.parent_id, work_engine.awaits_children(j) AS awaits
        FROM unnest(olds) WITH ORDINALITY AS u (id, n) JOIN work.jobs AS j ON j.id = u.id
    )
    SELECT o.n, e.by_ord FROM unnest(edges) AS e JOIN o ON o.id = e.on_id WHERE e.on_ord IS NULL
    UNION ALL
    SELECT p.ord, o.n FROM unnest(places) AS p JOIN o ON o.id = p.parent_id AND o.awaits WHERE NOT p.skip
    UNION ALL
    SELECT o.n, b.n FROM o JOIN work.dependencies AS d ON d.on_id = o.id JOIN o AS b ON b.id = d.job_id
    UNION ALL
    SELECT o.n, b.n FROM o JOIN o AS b ON b.id = o.parent_id AND b.awaits;
END;
$$;
COMMENT ON FUNCTION work_engine.waits(work_engine.spec[], work_engine.place[], work_engine.edge[], uuid[]) IS
    'Who waits for whom: jobs of a submission by their place, and behind them those that are there already.';

CREATE OR REPLACE FUNCTION work_engine.refuse_cycles(
    specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    olds CONSTANT uuid[] := work_engine.old_waiters(places, edges);
    total CONSTANT integer := cardinality(places) + coalesce(cardinality(olds), 0);
    -- For each job: how many it waits for, and where its followers end.
    waits integer[];
    ends integer[];
    followers integer[];
    line integer[] := '{}';
    done integer := 0;
    at integer;
BEGIN
    -- Each after what it depends on, and no group in between: no way back.
    IF olds IS NULL AND NOT EXISTS (SELECT FROM unnest(edges) AS e WHERE e.on_ord >= e.by_ord OR e.on_group) THEN
        RETURN;
    END IF;
    WITH pairs AS MATERIALIZED (
        SELECT w.on_n, w.by_n FROM work_engine.waits(specs, places, edges, olds) AS w
    ),
    counted AS (
        SELECT o.n, coalesce(w.n, 0) AS waits, sum(coalesce(f.n, 0)) OVER (ORDER BY o.n) AS upto
        FROM generate_series(1, total) AS o (n)
        LEFT JOIN (SELECT p.by_n, count(*) AS n FROM pairs AS p GROUP BY p.by_n) AS w ON w.by_n = o.n
        LEFT JOIN (SELECT p.on_n, count(*) AS n FROM pairs AS p GROUP BY p.on_n) AS f ON f.on_n = o.n
    )
    SELECT array_agg(c.waits ORDER BY c.n), array_agg(c.upto ORDER BY c.n),
           (SELECT array_agg(p.by_n ORDER BY p.on_n) FROM pairs AS p)
    INTO waits, ends, followers
    FROM counted AS c;
    FOR i IN 1..total LOOP
        IF waits[i] = 0 THEN
            line := line || i;
        END IF;
    END LOOP;
    WHILE done < cardinality(line) LOOP
        done := done + 1;
        at := line[done];
        FOR k IN coalesce(ends[at - 1], 0) + 1..ends[at] LOOP
            waits[followers[k]] := waits[followers[k]] - 1;
            IF waits[followers[k]] = 0 THEN
                line := line || followers[k];
            END IF;
        END LOOP;
    END LOOP;
    IF done < total THEN
        PERFORM work_engine.refuse(400, 'cycle', CASE WHEN olds IS NULL
            THEN 'Jobs of the submission wait for one another in a circle.'
            ELSE 'Jobs of the submission, and jobs that are there already, would wait for one another in a circle.' END);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse_cycles(work_engine.spec[], work_engine.place[], work_engine.edge[]) IS
    'Refuses dependencies, and groups waiting for their children, that lead back to where they began, also through jobs that are there already.';

CREATE OR REPLACE FUNCTION work_engine.refuse_old_cycles(places work_engine.place[], edges work_engine.edge[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse_old_cycles(work_engine.place[], work_engine.edge[]) IS
    'Nothing any more: refuse_cycles looks at all circles. Kept for submit_under, which calls it.';

CREATE FUNCTION work_engine.refuse_own_circle(job uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Most children wait for nobody, and nobody has to be asked.
    IF NOT EXISTS (
        SELECT FROM work.jobs AS c
        WHERE c.parent_id = refuse_own_circle.job AND c.state IN ('queued', 'running', 'paused')
          AND (c.deps_left > 0 OR work_engine.awaits_children(c)))
    THEN
        RETURN;
    END IF;
    IF EXISTS (
        SELECT FROM unnest(work_engine.waiters(ARRAY[refuse_own_circle.job])) AS w (id) JOIN work.jobs AS c ON c.id = w.id
        WHERE c.parent_id = refuse_own_circle.job AND c.state IN ('queued', 'running', 'paused'))
    THEN
        PERFORM work_engine.refuse(400, 'cycle', 'The job would wait for children that wait for the job.');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse_own_circle(uuid) IS 'Refuses that a handler, which is locked, waits for children that wait for it.';

-- As before, with refuse_own_circle.
CREATE OR REPLACE FUNCTION work_engine.park(j work.jobs, waits jsonb, over jsonb, mode text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kinds text[];
BEGIN
    WITH waiting AS (
        INSERT INTO work.steps AS t (job_id, key, kind, state, epoch, target, due_at)
        SELECT j.id, r.key, r.kind, 'waiting', j.epoch, r.name, clock_timestamp() + r.due
        FROM jsonb_array_elements(waits) AS e (wait)
        CROSS JOIN work_engine.read_wait(e.wait) AS r
        WHERE NOT over ? r.key
        -- Since when it waits, and until when, was said the first time.
        ON CONFLICT ON CONSTRAINT steps_pkey DO UPDATE SET epoch = excluded.epoch
        RETURNING t.key, t.kind, t.due_at
    ), asked AS (
        INSERT INTO work.approvals AS a (job_id, step_key, owner, assignee, prompt, form, due_at)
        SELECT j.id, s.key, j.owner, e.wait ->> 'assignee', e.wait ->> 'prompt', nullif(e.wait -> 'form', 'null'), s.due_at
        FROM waiting AS s
        JOIN jsonb_array_elements(waits) AS e (wait) ON e.wait ->> 'key' = s.key
        WHERE s.kind = 'approval'
        ON CONFLICT ON CONSTRAINT approvals_job_id_step_key_key DO UPDATE
            SET state = 'pending', answer = NULL, answered_by = NULL, answered_at = NULL,
                assignee = excluded.assignee, prompt = excluded.prompt, form = excluded.form, due_at = excluded.due_at
            WHERE a.state = 'withdrawn'
        RETURNING a.id, a.step_key, a.assignee, a.prompt
    ), told AS (
        SELECT work_engine.note(j.id, 'approval.requested', jsonb_strip_nulls(jsonb_build_object(
            'approval_id', a.id, 'key', a.step_key, 'assignee', a.assignee, 'prompt', left(a.prompt, 2000)))) AS done
        FROM asked AS a
    )
    SELECT array_agg(DISTINCT s.kind) INTO kinds FROM waiting AS s WHERE (SELECT count(t.done) FROM told AS t) >= 0;
    UPDATE work.jobs AS t
    SET lease_until = NULL, worker = NULL, wait_mode = park.mode,
        waits = array(SELECT e.wait ->> 'key' FROM jsonb_array_elements(park.waits) AS e (wait) WHERE NOT over ? (e.wait ->> 'key')), reason = NULL, updated_at = clock_timestamp(),
        -- Children first: their arrivals wake those that wait for them.
        waiting_on = CASE
            WHEN 'children' = ANY (kinds) THEN 'children'
            WHEN 'approval' = ANY (kinds) THEN 'approval'
            WHEN 'signal' = ANY (kinds) THEN 'signal'
            ELSE 'timer'
        END
    WHERE t.id = j.id;
    PERFORM work_engine.refuse_own_circle(t.id) FROM work.jobs AS t WHERE t.id = j.id AND work_engine.awaits_children(t);
    INSERT INTO work.attempts (job_id, epoch, outcome, worker, code_version, started_at)
    VALUES (j.id, j.epoch, 'suspended', j.worker, j.code_version, j.started_at)
    ON CONFLICT (job_id, epoch) DO NOTHING;
    PERFORM work_engine.note(j.id, 'job.waiting', jsonb_build_object('on', to_jsonb(kinds), 'mode', mode));
    IF j.limit_keys IS NOT NULL THEN
        PERFORM work_engine.free(ARRAY[j.id]);
    END IF;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
