-- Why: the second half of submitting: what is there already, what waits for
-- what, and the rows. 0018 reads and checks.
-- Lock impact: creates types and functions only; no existing relation is locked.

CREATE TYPE work_engine.edge AS (job_id uuid, on_id uuid, condition text, by_ord integer, on_ord integer, on_group boolean);

CREATE FUNCTION work_engine.find_old(specs work_engine.spec[], places work_engine.place[])
RETURNS work_engine.place[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found work_engine.place[];
    conflict boolean;
BEGIN
    WITH RECURSIVE d AS MATERIALIZED (
        SELECT p.*, work_engine.same_job(s, p) AS same, s.name, s.input FROM unnest(specs) AS s JOIN unnest(places) AS p ON p.ord = s.ord
    ),
    -- What hangs below a job that is there already came with it then.
    old_ones AS (
        SELECT d.ord, d.id, d.same AS old FROM d WHERE d.same IS NOT NULL
        UNION
        SELECT d.ord, d.id, (SELECT j.id FROM work.jobs AS j WHERE j.parent_id = o.old AND j.name = d.name)
        FROM old_ones AS o JOIN d ON d.parent_id = o.id
        WHERE d.same IS NULL
    )
    SELECT array_agg(ROW (d.ord, d.ref, d.id, d.parent_id, d.root_id, d.depth, d.owner, d.session_id, d.priority, d.tells,
                          d.width_key, d.width, o.old, o.ord IS NOT NULL)::work_engine.place ORDER BY d.ord),
           bool_or(d.same IS NOT NULL AND d.input IS DISTINCT FROM (SELECT j.input FROM work.jobs AS j WHERE j.id = d.same))
    INTO found, conflict
    FROM d LEFT JOIN old_ones AS o ON o.ord = d.ord;
    IF conflict THEN
        PERFORM work_engine.refuse(409, 'conflict', 'The key or name belongs to a job with another input.');
    END IF;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION work_engine.find_old(work_engine.spec[], work_engine.place[]) IS
    'Marks the jobs of a submission that are there already, by idempotency key or by name below the same parent.';

CREATE FUNCTION work_engine.same_job(s work_engine.spec, p work_engine.place)
RETURNS uuid
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(
            (SELECT j.id FROM work.jobs AS j
             WHERE s.idempotency_key IS NOT NULL AND coalesce(j.owner, '') = coalesce(p.owner, '')
               AND j.type = s.type AND j.idempotency_key = s.idempotency_key),
            (SELECT j.id FROM work.jobs AS j WHERE s.name IS NOT NULL AND j.parent_id = p.parent_id AND j.name = s.name))
    );
END;
$$;

CREATE FUNCTION work_engine.read_edges(specs work_engine.spec[], places work_engine.place[])
RETURNS work_engine.edge[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    edges work_engine.edge[];
    olds uuid[];
    held integer;
BEGIN
    SELECT array_agg(e) INTO edges
    FROM (
        SELECT DISTINCT ON (p.id, coalesce((d.dep ->> 'id')::uuid, t.old, t.id)) ROW (
            p.id, coalesce((d.dep ->> 'id')::uuid, t.old, t.id), coalesce(d.dep ->> 'when', 'success'),
            p.ord, CASE WHEN NOT t.skip THEN t.ord END, ts.is_group)::work_engine.edge AS e
        FROM unnest(specs) AS s JOIN unnest(places) AS p ON p.ord = s.ord AND NOT p.skip
        CROSS JOIN jsonb_array_elements(s.depends_on) AS d (dep)
        LEFT JOIN unnest(places) AS t ON t.ref = d.dep ->> 'ref'
        LEFT JOIN unnest(specs) AS ts ON ts.ord = t.ord
    ) AS e;
    -- Those that a key led us to are not locked yet.
    IF EXISTS (SELECT FROM unnest(places) AS p WHERE p.old IS NOT NULL) THEN
        SELECT array_agg(DISTINCT e.on_id) INTO olds FROM unnest(edges) AS e WHERE e.on_ord IS NULL;
        PERFORM FROM work.jobs AS j WHERE j.id = ANY (olds) FOR NO KEY UPDATE SKIP LOCKED;
        GET DIAGNOSTICS held = ROW_COUNT;
        IF held < cardinality(olds) THEN
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'A dependency is being changed; try again.';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM unnest(edges) AS e WHERE e.on_id IS NULL OR e.condition NOT IN ('success', 'terminal', 'failure')) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'A dependency names no job, or a condition that there is not.');
    END IF;
    IF EXISTS (
        SELECT FROM unnest(edges) AS e JOIN unnest(places) AS p ON p.id = e.job_id JOIN work.jobs AS j ON j.id = e.on_id
        WHERE e.on_ord IS NULL AND p.owner IS NOT NULL AND j.owner IS DISTINCT FROM p.owner)
    THEN
        PERFORM work_engine.refuse(404, 'not_found', 'A job that is named as parent or dependency does not exist.');
    END IF;
    RETURN edges;
END;
$$;
COMMENT ON FUNCTION work_engine.read_edges(work_engine.spec[], work_engine.place[]) IS 'Who depends on whom in a submission.';

CREATE FUNCTION work_engine.refuse_cycles(specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total CONSTANT integer := cardinality(places);
    -- For each job: how many it waits for, and where its followers end.
    waits integer[];
    ends integer[];
    followers integer[];
    line integer[] := '{}';
    done integer := 0;
    at integer;
BEGIN
    -- Each after what it depends on, and no group in between: no way back.
    IF NOT EXISTS (SELECT FROM unnest(edges) AS e WHERE e.on_ord >= e.by_ord OR e.on_group) THEN
        RETURN;
    END IF;
    WITH pairs AS MATERIALIZED (
        SELECT e.on_ord, e.by_ord FROM unnest(edges) AS e WHERE e.on_ord IS NOT NULL
        UNION ALL
        -- A group waits for its children.
        SELECT c.ord, g.ord
        FROM unnest(places) AS c JOIN unnest(places) AS g ON g.id = c.parent_id
        JOIN unnest(specs) AS s ON s.ord = g.ord AND s.is_group
    ),
    counted AS (
        SELECT o.ord, coalesce(w.n, 0) AS waits, sum(coalesce(f.n, 0)) OVER (ORDER BY o.ord) AS upto
        FROM generate_series(1, total) AS o (ord)
        LEFT JOIN (SELECT p.by_ord, count(*) AS n FROM pairs AS p GROUP BY p.by_ord) AS w ON w.by_ord = o.ord
        LEFT JOIN (SELECT p.on_ord, count(*) AS n FROM pairs AS p GROUP BY p.on_ord) AS f ON f.on_ord = o.ord
    )
    SELECT array_agg(c.waits ORDER BY c.ord), array_agg(c.upto ORDER BY c.ord),
           (SELECT array_agg(p.by_ord ORDER BY p.on_ord) FROM pairs AS p)
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
        PERFORM work_engine.refuse(400, 'cycle', 'Jobs of the submission wait for one another in a circle.');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse_cycles(work_engine.spec[], work_engine.place[], work_engine.edge[]) IS
    'Refuses dependencies, and groups waiting for their children, that lead back to where they began.';

CREATE FUNCTION work_engine.refuse_old_cycles(places work_engine.place[], edges work_engine.edge[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A job below an existing group may not wait for what waits for that group.
    IF EXISTS (
        WITH RECURSIVE above AS (
            SELECT DISTINCT j.id, j.parent_id, j.is_group
            FROM unnest(places) AS p JOIN unnest(edges) AS e ON e.job_id = p.id AND e.on_ord IS NULL
            JOIN work.jobs AS j ON j.id = p.parent_id OR j.id = p.root_id
            UNION
            SELECT j.id, j.parent_id, j.is_group FROM above AS a JOIN work.jobs AS j ON j.id = a.parent_id
        ),
        awaited AS (
            SELECT e.on_id AS id FROM unnest(edges) AS e WHERE e.on_ord IS NULL
            UNION
            SELECT n.id
            FROM awaited AS w CROSS JOIN LATERAL (
                SELECT d.on_id FROM work.dependencies AS d WHERE d.job_id = w.id
                UNION ALL
                SELECT c.id FROM work.jobs AS g JOIN work.jobs AS c ON c.parent_id = g.id WHERE g.id = w.id AND g.is_group
            ) AS n (id)
            JOIN work.jobs AS j ON j.id = n.id AND j.state IN ('queued', 'running', 'paused')
        )
        SELECT FROM awaited AS w JOIN above AS a ON a.id = w.id AND a.is_group)
    THEN
        PERFORM work_engine.refuse(400, 'cycle', 'A job would wait for a group that waits for the job.');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.refuse_old_cycles(work_engine.place[], work_engine.edge[]) IS
    'The same for circles that lead through jobs which are there already.';

CREATE FUNCTION work_engine.insert_jobs(specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    inserted uuid[];
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT s.*, p.id, p.parent_id, coalesce(p.root_id, p.id) AS root_id, p.depth, p.owner, p.session_id,
               p.priority AS rank, p.tells AS told, p.width_key,
               CASE WHEN p.width_key IS NULL THEN s.limit_keys ELSE s.limit_keys || p.width_key END AS keys,
               coalesce(d.n, 0) AS deps, coalesce(k.n, 0) AS children, coalesce(k.weight, 0) AS children_weight
        FROM unnest(places) AS p
        JOIN unnest(specs) AS s ON s.ord = p.ord
        LEFT JOIN (SELECT e.job_id, count(*) AS n FROM unnest(edges) AS e GROUP BY e.job_id) AS d ON d.job_id = p.id
        LEFT JOIN (
            SELECT c.parent_id, count(*) AS n, sum(cs.weight)::real AS weight
            FROM unnest(places) AS c JOIN unnest(specs) AS cs ON cs.ord = c.ord
            WHERE c.parent_id IS NOT NULL GROUP BY c.parent_id) AS k ON k.parent_id = p.id
        WHERE NOT p.skip
    ),
    -- Whatever comes below what somebody holds is held with it.
    held AS MATERIALIZED (
        WITH RECURSIVE h AS (
            SELECT f.id FROM fresh AS f JOIN work.jobs AS j ON j.id = f.parent_id AND j.state = 'paused'
            UNION ALL
            SELECT f.id FROM h JOIN fresh AS f ON f.parent_id = h.id
        )
        SELECT h.id FROM h
    ),
    gated AS MATERIALIZED (
        SELECT f.*, CASE
            WHEN f.is_group THEN 'children'
            WHEN f.deps > 0 THEN 'dependencies'
            WHEN f.run_at > clock_timestamp() THEN 'time'
            WHEN cardinality(f.keys) > 0 THEN 'limit' END AS gate,
            f.id IN (SELECT h.id FROM held AS h) AS parent_paused
        FROM fresh AS f
    ),
    heads AS MATERIALIZED (
        SELECT q.queue, work_engine.head(q.queue) AS head FROM (SELECT DISTINCT g.queue FROM gated AS g WHERE g.owner IS NOT NULL) AS q
    ),
    lines AS MATERIALIZED (
        SELECT q.queue, q.owner, work_engine.last_turn(q.queue, q.owner) AS last, coalesce(s.weight, 1) AS share
        FROM (SELECT DISTINCT g.queue, g.owner FROM gated AS g WHERE g.owner IS NOT NULL) AS q
        LEFT JOIN work.shares AS s ON s.owner = q.owner
    ),
    turns AS (
        SELECT g.ord,
               greatest(h.head, l.last + first_value(g.cost / l.share) OVER line)
                   + sum(g.cost / l.share) OVER line - first_value(g.cost / l.share) OVER line AS sort_key
        FROM gated AS g JOIN heads AS h ON h.queue = g.queue JOIN lines AS l ON l.queue = g.queue AND l.owner = g.owner
        WHERE g.gate IS NULL OR g.gate = 'limit'
        WINDOW line AS (PARTITION BY g.queue, g.owner ORDER BY g.ord)
    ),
    made AS (
        INSERT INTO work.jobs (
            id, root_id, parent_id, depth, owner, session_id, stream_id, type, name, queue, is_group,
            state, waiting_on, paused_from, priority, sort_key, run_at, deadline_at, deps_left, deps_open, deps_total, deps_need,
            children_total, children_open, weight_total, on_child_failure, max_attempts, backoff_base, backoff_max, time_limit,
            input, weight, cost_estimate, limit_keys, labels, idempotency_key, input_hash, schedule_id, started_at)
        SELECT g.id, g.root_id, g.parent_id, g.depth, g.owner, g.session_id,
               CASE WHEN g.told THEN coalesce(g.session_id, g.root_id) END, g.type, g.name, g.queue, g.is_group,
               CASE WHEN g.parent_paused THEN 'paused' WHEN g.is_group THEN 'running' ELSE 'queued' END,
               CASE WHEN g.parent_paused IS NOT TRUE THEN g.gate END,
               CASE WHEN g.parent_paused THEN coalesce(g.gate, 'ready') END,
               g.rank, coalesce(t.sort_key, extract(epoch FROM clock_timestamp())::double precision),
               g.run_at, g.deadline_at, n.need, g.deps, g.deps, n.need,
               g.children, g.children, g.children_weight, g.on_child_failure, g.max_attempts, g.backoff_base, g.backoff_max,
               g.time_limit, g.input, g.weight, g.cost, g.keys, g.labels, g.idempotency_key,
               CASE WHEN g.idempotency_key IS NOT NULL THEN sha256(convert_to(coalesce(g.input::text, ''), 'UTF8')) END,
               g.schedule_id, CASE WHEN g.is_group THEN clock_timestamp() END
        FROM gated AS g
        LEFT JOIN turns AS t ON t.ord = g.ord
        CROSS JOIN LATERAL (SELECT CASE
            WHEN g.deps = 0 OR g.need IS NULL OR g.need = 'all' THEN g.deps
            WHEN g.need = 'any' THEN 1 ELSE least(g.need::integer, g.deps) END) AS n (need)
        -- Two submissions with the same keys meet in the same order.
        ORDER BY g.idempotency_key, g.owner, g.type, g.ord
        ON CONFLICT (coalesce(owner, ''), type, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id
    )
    SELECT array_agg(m.id) INTO inserted FROM made AS m;
    RETURN inserted;
END;
$$;
COMMENT ON FUNCTION work_engine.insert_jobs(work_engine.spec[], work_engine.place[], work_engine.edge[]) IS
    'The rows of a submission, each at its first gate; returns what was inserted.';

CREATE FUNCTION work_engine.submit_under(jobs jsonb, under uuid)
RETURNS TABLE (ordinal integer, id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- So that what is set below ends with the call.
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
DECLARE
    jobs_max CONSTANT integer := 10000;
    -- Up to here a plan made once will do.
    many CONSTANT integer := 250;
    specs work_engine.spec[];
    places work_engine.place[];
    edges work_engine.edge[];
    made uuid[];
    hanging boolean;
    bound boolean;
BEGIN
    IF jsonb_typeof(submit_under.jobs) IS DISTINCT FROM 'array' OR jsonb_array_length(submit_under.jobs) NOT BETWEEN 1 AND jobs_max THEN
        PERFORM work_engine.refuse(400, 'invalid', format('A submission has 1 to %s jobs.', jobs_max));
    END IF;
    IF jsonb_array_length(submit_under.jobs) > many THEN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
    hanging := submit_under.under IS NOT NULL OR submit_under.jobs @? '$[*].parent_id';
    bound := submit_under.jobs @? '$[*].depends_on';
    IF hanging OR bound THEN
        PERFORM work_engine.hold_targets(submit_under.jobs, submit_under.under);
    END IF;
    specs := work_engine.read_specs(submit_under.jobs);
    PERFORM work_engine.check_specs(submit_under.jobs, specs, submit_under.under);
    places := work_engine.read_places(submit_under.jobs, specs, submit_under.under);
    IF hanging OR EXISTS (SELECT FROM unnest(specs) AS s WHERE s.idempotency_key IS NOT NULL) THEN
        places := work_engine.find_old(specs, places);
    END IF;
    IF bound THEN
        edges := work_engine.read_edges(specs, places);
        PERFORM work_engine.refuse_cycles(specs, places, edges);
        PERFORM work_engine.refuse_old_cycles(places, edges);
    END IF;
    made := work_engine.try_insert(specs, places, edges);
    IF coalesce(cardinality(made), 0) < (SELECT count(*) FROM unnest(places) AS p WHERE NOT p.skip) THEN
        -- Somebody took a key in between, or it is there twice: now it is old.
        places := work_engine.find_lost(specs, places, edges, made);
    END IF;
    IF made IS NOT NULL THEN
        PERFORM work_engine.finish_submission(specs, places, edges, made, hanging);
    END IF;
    RETURN QUERY
        SELECT p.ord, j.id, NOT p.skip, j.state
        FROM unnest(places) AS p LEFT JOIN work.jobs AS j ON j.id = CASE WHEN p.skip THEN p.old ELSE p.id END
        ORDER BY p.ord;
END;
$$;
COMMENT ON FUNCTION work_engine.submit_under(jsonb, uuid) IS 'submit, with a parent for those that name none.';

CREATE FUNCTION work_engine.try_insert(specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(specs) AS s WHERE s.idempotency_key IS NOT NULL)
        OR NOT EXISTS (SELECT FROM unnest(specs) AS s WHERE s.parent_ref IS NOT NULL)
    THEN
        RETURN work_engine.insert_jobs(specs, places, edges);
    END IF;
    BEGIN
        RETURN work_engine.insert_jobs(specs, places, edges);
    EXCEPTION WHEN foreign_key_violation THEN
        -- The parent's key was taken in between, so its children have none.
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'A key was taken meanwhile; try again.';
    END;
END;
$$;
COMMENT ON FUNCTION work_engine.try_insert(work_engine.spec[], work_engine.place[], work_engine.edge[]) IS
    'insert_jobs, for trees whose root may turn out to be there already.';

CREATE FUNCTION work_engine.find_lost(specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[], made uuid[])
RETURNS work_engine.place[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lost uuid[];
BEGIN
    SELECT array_agg(p.id) INTO lost FROM unnest(places) AS p WHERE NOT p.skip AND (made IS NULL OR p.id <> ALL (made));
    IF EXISTS (SELECT FROM unnest(places) AS p WHERE p.parent_id = ANY (lost) OR p.id = ANY (lost) AND p.parent_id IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(edges) AS e WHERE e.on_id = ANY (lost) OR e.job_id = ANY (lost))
    THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'A key was taken meanwhile; try again.';
    END IF;
    places := work_engine.find_old(specs, places);
    -- What we inserted ourselves was found by its key as well.
    RETURN (
        SELECT array_agg(ROW (p.ord, p.ref, p.id, p.parent_id, p.root_id, p.depth, p.owner, p.session_id, p.priority, p.tells,
                              p.width_key, p.width, p.old, p.old IS NOT NULL AND p.old <> p.id)::work_engine.place ORDER BY p.ord)
        FROM unnest(places) AS p);
END;
$$;
COMMENT ON FUNCTION work_engine.find_lost(work_engine.spec[], work_engine.place[], work_engine.edge[], uuid[]) IS
    'Marks jobs whose key was taken between the look and the insert.';

CREATE FUNCTION work_engine.finish_submission(
    specs work_engine.spec[], places work_engine.place[], edges work_engine.edge[], made uuid[], hanging boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    targets uuid[];
    keys text[];
BEGIN
    IF hanging THEN
        UPDATE work.jobs AS j
        SET children_total = j.children_total + n.n, children_open = j.children_open + n.n, weight_total = j.weight_total + n.weight
        FROM (
            SELECT p.parent_id, count(*) AS n, sum(s.weight)::real AS weight
            FROM unnest(places) AS p JOIN unnest(specs) AS s ON s.ord = p.ord
            WHERE p.id = ANY (made) AND p.parent_id IS NOT NULL AND p.parent_id <> ALL (made)
            GROUP BY p.parent_id) AS n
        WHERE j.id = n.parent_id;
    END IF;
    IF edges IS NOT NULL THEN
        INSERT INTO work.dependencies (job_id, on_id, condition)
        SELECT e.job_id, e.on_id, e.condition FROM unnest(edges) AS e;
        -- What is over already will not send news.
        INSERT INTO work_engine.arrivals (job_id, kind, source_id, state, satisfied)
        SELECT e.job_id, 'dependency', j.id, j.state,
               CASE e.condition WHEN 'success' THEN j.state = 'completed' WHEN 'failure' THEN j.state = 'failed' ELSE true END
        FROM unnest(edges) AS e JOIN work.jobs AS j ON j.id = e.on_id
        WHERE e.on_ord IS NULL AND j.state IN ('completed', 'failed', 'cancelled');
        SELECT array_agg(e.job_id) INTO targets FROM unnest(edges) AS e WHERE e.on_ord IS NULL;
    END IF;
    INSERT INTO work.limits (key, max_running)
    SELECT 'width:' || p.id, p.width FROM unnest(places) AS p WHERE p.width IS NOT NULL AND p.id = ANY (made);
    INSERT INTO work.budgets (job_id, unit, cap, soft_cap, on_exceed)
    SELECT p.id, b.unit, b.cap, b.soft_cap, coalesce(b.on_exceed, 'pause')
    FROM unnest(specs) AS s JOIN unnest(places) AS p ON p.ord = s.ord AND p.id = ANY (made)
    CROSS JOIN jsonb_to_recordset(s.budget) AS b (unit text, cap numeric, soft_cap numeric, on_exceed text)
    WHERE s.budget IS NOT NULL;
    IF EXISTS (SELECT FROM unnest(places) AS p WHERE p.tells AND NOT p.skip) THEN
        PERFORM work_engine.tell_queued(made);
    END IF;
    SELECT targets || array_agg(p.id) INTO targets
    FROM unnest(specs) AS s JOIN unnest(places) AS p ON p.ord = s.ord
    WHERE s.is_group AND p.id = ANY (made) AND NOT EXISTS (SELECT FROM unnest(places) AS c WHERE c.parent_id = p.id);
    IF targets IS NOT NULL THEN
        PERFORM work_engine.arrive(targets);
    END IF;
    IF EXISTS (SELECT FROM unnest(specs) AS s WHERE s.limit_keys IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(places) AS p WHERE p.width_key IS NOT NULL)
    THEN
        SELECT array_agg(DISTINCT k.key) INTO keys
        FROM work.jobs AS j CROSS JOIN LATERAL unnest(j.limit_keys) AS k (key)
        WHERE j.id = ANY (made) AND j.waiting_on = 'limit';
        PERFORM work_engine.grant_keys(keys);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.finish_submission(work_engine.spec[], work_engine.place[], work_engine.edge[], uuid[], boolean) IS
    'What follows from a submission''s rows: counters, dependencies, budgets, events, empty groups, free slots.';

CREATE FUNCTION work_engine.tell_queued(ids uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    streams uuid[];
    jobs uuid[];
BEGIN
    SELECT array_agg(j.stream_id ORDER BY j.id), array_agg(j.id ORDER BY j.id) INTO streams, jobs
    FROM work.jobs AS j WHERE j.id = ANY (tell_queued.ids) AND j.stream_id IS NOT NULL;
    IF streams IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO work.streams (id, owner)
    SELECT DISTINCT ON (s.id) s.id, j.owner
    FROM unnest(streams, jobs) AS s (id, job_id) JOIN work.jobs AS j ON j.id = s.job_id
    WHERE NOT EXISTS (SELECT FROM work.streams AS t WHERE t.id = s.id)
    ORDER BY s.id
    ON CONFLICT DO NOTHING;
    PERFORM work_engine.append(streams, jobs, array_fill('job.queued'::text, ARRAY[cardinality(jobs)]),
        array_fill('{}'::jsonb, ARRAY[cardinality(jobs)]));
END;
$$;
COMMENT ON FUNCTION work_engine.tell_queued(uuid[]) IS 'Appends job.queued, to streams that are made when they are new.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
