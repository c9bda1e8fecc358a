-- Why: money is reserved before it is spent. A budget holds for a job and
-- everything below it; a step reserves its estimate on every budget above it,
-- and settles what it did cost. What would exceed a cap is refused, and the
-- budget says what then: pause the tree, ask its owner, or leave it to the job.
-- `calls` are counted when they are made. `seconds` are those of steps from
-- begin to end, unless a step says its own.
-- The ledger is the truth: `reserve` and `release` sum up to what is reserved,
-- `settle` to what is spent.
-- Lock impact: adds columns without defaults to tables that 0014 made.

ALTER TABLE work.budgets
    -- Told once, until the cap is raised.
    ADD COLUMN exceeded_at timestamptz,
    ADD COLUMN soft_exceeded_at timestamptz;
ALTER TABLE work.approvals
    -- Asks for more of this unit: the answer {"cap": n} is the new cap.
    ADD COLUMN budget_unit text;

-- What a step did cost, by unit: its own cost or else its estimate, and what
-- its usage says of other units ({"tokens": 1200, "model": …}).
CREATE FUNCTION work_engine.charges(s work.steps, cost numeric, usage jsonb)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(c.unit, c.amount), '{}')
    FROM (
        SELECT u.key AS unit, u.value::text::numeric AS amount
        FROM jsonb_each(CASE jsonb_typeof(usage) WHEN 'object' THEN usage ELSE '{}' END) AS u
        WHERE u.key IN ('usd', 'tokens', 'seconds') AND u.key IS DISTINCT FROM s.unit
          AND jsonb_typeof(u.value) = 'number' AND u.value::text::numeric > 0
        UNION ALL
        SELECT s.unit, coalesce(cost, s.reserved) WHERE s.unit <> 'calls' AND coalesce(cost, s.reserved) > 0
    ) AS c);
END;
$$;

-- Reserves on every budget above, or says which one refuses. A call counts as
-- made once it may be made.
CREATE FUNCTION work_engine.reserve(job uuid, key text, epoch integer, unit text, estimate numeric)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line uuid[] := work_engine.line_of(job);
    b work.budgets;
    need numeric;
    calls boolean := false;
BEGIN
    FOR b IN
        SELECT t.* FROM work.budgets AS t
        WHERE t.job_id = ANY (line) AND (t.unit IN ('calls', 'seconds') OR t.unit = reserve.unit)
        ORDER BY t.job_id, t.unit
        FOR UPDATE
    LOOP
        calls := calls OR b.unit = 'calls';
        need := CASE WHEN b.unit = reserve.unit THEN coalesce(estimate, 0) WHEN b.unit = 'calls' THEN 1 ELSE 0 END;
        -- Without an estimate anything at all has to be left.
        IF b.spent + b.reserved + need > b.cap OR (need = 0 AND b.spent + b.reserved >= b.cap AND estimate IS DISTINCT FROM 0) THEN
            PERFORM work_engine.exceed(b, job, need);
            RETURN jsonb_build_object('job_id', b.job_id, 'unit', b.unit, 'cap', b.cap, 'spent', b.spent,
                'reserved', b.reserved, 'needed', need, 'on_exceed', b.on_exceed);
        END IF;
    END LOOP;
    IF FOUND THEN
        UPDATE work.budgets AS t SET reserved = t.reserved + coalesce(estimate, 0)
        WHERE t.job_id = ANY (line) AND t.unit = reserve.unit AND t.unit <> 'calls' AND estimate > 0;
        UPDATE work.budgets AS t SET spent = t.spent + CASE WHEN reserve.unit = 'calls' THEN greatest(estimate, 1) ELSE 1 END
        WHERE t.job_id = ANY (line) AND t.unit = 'calls';
        PERFORM work_engine.warn(line);
    END IF;
    INSERT INTO work.ledger (root_id, job_id, owner, step_key, unit, amount, kind, epoch)
    SELECT j.root_id, j.id, j.owner, reserve.key, e.unit, e.amount, e.kind, reserve.epoch
    FROM work.jobs AS j
    CROSS JOIN (VALUES
        (reserve.unit, CASE WHEN reserve.unit <> 'calls' THEN estimate END, 'reserve'),
        ('calls', CASE WHEN calls THEN CASE WHEN reserve.unit = 'calls' THEN greatest(estimate, 1) ELSE 1 END END, 'settle')
    ) AS e (unit, amount, kind)
    WHERE j.id = reserve.job AND e.amount > 0;
    RETURN NULL;
END;
$$;

-- Says once per cap that a soft cap was reached.
CREATE FUNCTION work_engine.warn(line uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b work.budgets;
BEGIN
    FOR b IN
        UPDATE work.budgets AS t SET soft_exceeded_at = clock_timestamp()
        WHERE t.job_id = ANY (line) AND t.soft_exceeded_at IS NULL AND t.spent + t.reserved >= t.soft_cap
        RETURNING t.*
    LOOP
        PERFORM work_engine.note(b.job_id, 'budget.warning', jsonb_build_object(
            'unit', b.unit, 'soft_cap', b.soft_cap, 'cap', b.cap, 'spent', b.spent, 'reserved', b.reserved));
    END LOOP;
END;
$$;

-- What a paused job's `reason` says when this budget stopped it.
CREATE FUNCTION work_engine.budget_mark(job uuid, unit text)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'budget:' || unit || ':' || job $$;

-- A step would exceed `b`: the tree stops, if the budget says so.
CREATE FUNCTION work_engine.exceed(b work.budgets, asking uuid, needed numeric)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stopped uuid[];
BEGIN
    UPDATE work.budgets AS t SET exceeded_at = clock_timestamp()
    WHERE t.job_id = b.job_id AND t.unit = b.unit AND t.exceeded_at IS NULL;
    IF FOUND THEN
        PERFORM work_engine.note(b.job_id, 'budget.exceeded', jsonb_build_object(
            'unit', b.unit, 'cap', b.cap, 'spent', b.spent, 'reserved', b.reserved, 'needed', needed,
            'job_id', asking, 'on_exceed', b.on_exceed));
    END IF;
    -- Another step of the tree may have stopped it while this one waited for the budget's lock.
    IF b.on_exceed = 'fail' OR NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = asking AND j.state = 'running') THEN
        RETURN;
    END IF;
    SELECT array_agg(p.id) INTO stopped FROM work_engine.pause(b.job_id) AS p WHERE p.state = 'paused';
    UPDATE work.jobs AS j SET reason = work_engine.budget_mark(b.job_id, b.unit)
    WHERE j.id = ANY (stopped) AND j.state = 'paused';
    IF b.on_exceed = 'ask' THEN
        PERFORM work_engine.ask_for_more(b, needed);
    END IF;
END;
$$;

CREATE FUNCTION work_engine.ask_for_more(b work.budgets, needed numeric)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    approval uuid;
    words text := format('The budget of %s %s is used up: %s spent, %s reserved, %s more wanted.',
        b.cap, b.unit, b.spent, b.reserved, needed);
BEGIN
    INSERT INTO work.approvals AS a (job_id, step_key, owner, prompt, form, budget_unit)
    SELECT j.id, format('budget:%s:%s', b.unit, b.cap), j.owner, words,
        jsonb_build_object('type', 'object', 'required', jsonb_build_array('cap'),
            'properties', jsonb_build_object('cap', jsonb_build_object('type', 'number', 'minimum', b.spent + b.reserved))),
        b.unit
    FROM work.jobs AS j
    WHERE j.id = b.job_id
    ON CONFLICT ON CONSTRAINT approvals_job_id_step_key_key DO UPDATE
        SET state = 'pending', answer = NULL, answered_by = NULL, answered_at = NULL, prompt = excluded.prompt, form = excluded.form
        WHERE a.state <> 'pending'
    RETURNING a.id INTO approval;
    IF FOUND THEN
        PERFORM work_engine.note(b.job_id, 'approval.requested', jsonb_build_object(
            'approval_id', approval, 'budget', b.unit, 'prompt', words));
    END IF;
END;
$$;

-- Gives back what the step had reserved and books what it cost: on the step
-- itself too, unless the caller has `noted` it there.
CREATE FUNCTION work_engine.settle(s work.steps, charges jsonb, noted boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line uuid[] := work_engine.line_of(s.job_id);
    timed boolean;
    capped boolean;
BEGIN
    -- The order of locks; an UPDATE alone would take them as it finds them.
    PERFORM FROM work.budgets AS t WHERE t.job_id = ANY (line) ORDER BY t.job_id, t.unit FOR UPDATE;
    capped := FOUND;
    IF capped THEN
        SELECT EXISTS (SELECT FROM work.budgets AS t WHERE t.job_id = ANY (line) AND t.unit = 'seconds') INTO timed;
        IF timed AND NOT charges ? 'seconds' AND s.unit IS DISTINCT FROM 'seconds' THEN
            charges := charges || jsonb_build_object('seconds',
                round(greatest(extract(epoch FROM clock_timestamp() - s.started_at), 0)::numeric, 3));
        END IF;
        UPDATE work.budgets AS t
        SET reserved = CASE WHEN t.unit = s.unit THEN greatest(t.reserved - s.reserved, 0) ELSE t.reserved END,
            spent = t.spent + coalesce((charges ->> t.unit)::numeric, 0)
        WHERE t.job_id = ANY (line) AND ((t.unit = s.unit AND s.reserved > 0) OR charges ? t.unit);
        PERFORM work_engine.warn(line);
    END IF;
    INSERT INTO work.ledger (root_id, job_id, owner, step_key, unit, amount, kind, epoch)
    SELECT j.root_id, j.id, j.owner, s.key, e.unit, e.amount, e.kind, s.epoch
    FROM work.jobs AS j
    CROSS JOIN (
        SELECT s.unit, -s.reserved AS amount, 'release' AS kind WHERE s.reserved > 0 AND s.unit <> 'calls'
        UNION ALL
        SELECT c.key, c.value::numeric, 'settle' FROM jsonb_each_text(charges) AS c WHERE c.value::numeric > 0
    ) AS e
    WHERE j.id = s.job_id;
    IF NOT noted AND charges ? s.unit THEN
        UPDATE work.steps AS t SET cost = t.cost + (charges ->> s.unit)::numeric WHERE t.job_id = s.job_id AND t.key = s.key;
    END IF;
END;
$$;

-- Books what a second payment for the same step cost, once per claim however
-- often its message comes. Rare, so the tree's ledger is searched.
CREATE FUNCTION work_engine.settle_once(s work.steps, epoch integer, charges jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM work.ledger AS l
        WHERE l.root_id = (SELECT j.root_id FROM work.jobs AS j WHERE j.id = s.job_id)
          AND l.job_id = s.job_id AND l.step_key = s.key AND l.epoch = settle_once.epoch AND l.kind = 'settle' AND l.unit <> 'calls'
    ) THEN
        RETURN;
    END IF;
    -- What is reserved is the other claim's.
    s.reserved := 0;
    s.epoch := epoch;
    PERFORM work_engine.settle(s, charges);
END;
$$;

-- Makes or changes a budget, and lets go on exactly what it had stopped.
CREATE FUNCTION work_engine.set_budget(
    job uuid, unit text, cap numeric, soft_cap numeric DEFAULT NULL, on_exceed text DEFAULT NULL
)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    b work.budgets;
BEGIN
    IF set_budget.unit NOT IN ('usd', 'tokens', 'seconds', 'calls') OR set_budget.cap < 0 OR set_budget.cap = 'NaN' OR set_budget.soft_cap < 0
        OR set_budget.on_exceed NOT IN ('pause', 'fail', 'ask') OR set_budget.unit IS NULL OR set_budget.cap IS NULL THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a budget has a unit (usd, tokens, seconds, calls), a cap of at least 0, and on_exceed pause, fail or ask');
    ELSIF NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = set_budget.job) THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such job');
    END IF;
    INSERT INTO work.budgets (job_id, unit, cap) VALUES (set_budget.job, set_budget.unit, set_budget.cap)
    ON CONFLICT (job_id, unit) DO NOTHING;
    IF FOUND THEN
        -- What the tree has cost so far counts.
        UPDATE work.budgets AS t SET spent = coalesce(c.spent, 0), reserved = coalesce(c.reserved, 0)
        FROM work_engine.cost_below(set_budget.job, set_budget.unit) AS c
        WHERE t.job_id = set_budget.job AND t.unit = set_budget.unit;
    END IF;
    UPDATE work.budgets AS t
    SET cap = set_budget.cap, soft_cap = coalesce(set_budget.soft_cap, t.soft_cap),
        on_exceed = coalesce(set_budget.on_exceed, t.on_exceed),
        exceeded_at = CASE WHEN t.spent + t.reserved < set_budget.cap THEN NULL ELSE t.exceeded_at END,
        soft_exceeded_at = CASE WHEN t.spent + t.reserved < coalesce(set_budget.soft_cap, t.soft_cap) THEN NULL ELSE t.soft_exceeded_at END
    WHERE t.job_id = set_budget.job AND t.unit = set_budget.unit
    RETURNING t.* INTO b;
    IF b.spent + b.reserved >= b.cap THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT r.id, r.state FROM work_engine.resume_stopped(b.job_id, work_engine.budget_mark(b.job_id, b.unit)) AS r;
    UPDATE work.approvals AS a SET state = 'withdrawn'
    WHERE a.job_id = b.job_id AND a.budget_unit = b.unit AND a.state = 'pending';
END;
$$;
COMMENT ON FUNCTION work_engine.set_budget(uuid, text, numeric, numeric, text) IS
    'Makes or changes a budget of a tree; what it had stopped and what fits now goes on.';

-- Lets exactly those go on that this budget stopped: what somebody paused by
-- hand stays paused.
CREATE FUNCTION work_engine.resume_stopped(job uuid, mark text)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held uuid[] := work_engine.hold(resume_stopped.job, false);
BEGIN
    SELECT array_agg(j.id ORDER BY j.id) INTO held
    FROM work.jobs AS j WHERE j.id = ANY (held) AND j.state = 'paused' AND j.reason = mark;
    UPDATE work.jobs AS j SET reason = NULL WHERE j.id = ANY (held);
    RETURN QUERY SELECT g.id, g.state FROM work_engine.go_on(held) AS g;
END;
$$;

-- What the steps of a tree have cost and hold, in one unit.
CREATE FUNCTION work_engine.cost_below(job uuid, unit text, OUT spent numeric, OUT reserved numeric)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below AS (
        SELECT j.id, j.root_id FROM work.jobs AS j WHERE j.id = cost_below.job
        UNION ALL
        SELECT j.id, j.root_id FROM below JOIN work.jobs AS j ON j.parent_id = below.id
    )
    SELECT CASE cost_below.unit
            WHEN 'calls' THEN (
                SELECT sum(s.tries) FROM below JOIN work.steps AS s ON s.job_id = below.id WHERE s.kind = 'call')
            WHEN 'seconds' THEN (
                SELECT round(sum(extract(epoch FROM s.finished_at - s.started_at)), 3)
                FROM below JOIN work.steps AS s ON s.job_id = below.id WHERE s.kind = 'call')
            ELSE (
                SELECT sum(l.amount) FROM below JOIN work.ledger AS l ON l.root_id = below.root_id AND l.job_id = below.id
                WHERE l.kind IN ('settle', 'adjust') AND l.unit = cost_below.unit)
        END,
        (SELECT sum(s.reserved) FROM below JOIN work.steps AS s ON s.job_id = below.id
            WHERE s.reserved > 0 AND s.unit = cost_below.unit)
$$;

-- Gives back what steps of jobs that ended hold: nobody will end them any
-- more, and what comes all the same is booked then.
CREATE FUNCTION work_engine.release_reserved(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s work.steps;
    released integer := 0;
BEGIN
    FOR s IN
        SELECT t.* FROM work.steps AS t
        WHERE t.reserved > 0 AND t.job_id IN (
            SELECT h.job_id FROM work.steps AS h JOIN work.jobs AS j ON j.id = h.job_id
            -- A worker that has lost the job may still bring the result.
            WHERE h.reserved > 0 AND j.finished_at < clock_timestamp() - interval '10 minutes')
        -- As steps, not as they lie: the order of locks among those who do this.
        ORDER BY t.job_id, t.key
        LIMIT most
        FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE work.steps AS t SET reserved = 0 WHERE t.job_id = s.job_id AND t.key = s.key;
        PERFORM work_engine.settle(s, '{}');
        released := released + 1;
    END LOOP;
    RETURN released;
END;
$$;
COMMENT ON FUNCTION work_engine.release_reserved(integer) IS 'Gives back what unfinished steps of jobs that ended had reserved.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
