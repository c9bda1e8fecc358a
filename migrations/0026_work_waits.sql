-- Why: a job may wait for days for a timer, a signal, a person or its
-- children, and holds nothing meanwhile: no worker, no slot, no connection.
-- `suspend` names what it waits for; what comes is kept as the result of a
-- step, so the handler that is run again from its start finds it there, the
-- same at every replay. Signals that came earlier are taken at once.
-- Where any of several waits wakes the job, the first one wins and the others
-- are forgotten in the same transaction: a replay sees one winner for ever.
-- Lock impact: adds columns without defaults to work.jobs.

ALTER TABLE work.jobs
    -- Of a suspended job: whether any of its waits wakes it, or only all of them.
    ADD COLUMN wait_mode text CHECK (wait_mode IN ('any', 'all')),
    -- Their keys. What the same claim waited for before is not among them.
    ADD COLUMN waits text[];

-- Over when one of a job's waits is (`any`) or all are (`all`).
CREATE FUNCTION work_engine.waits_over(job uuid)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(CASE j.wait_mode
            WHEN 'all' THEN bool_and(s.state <> 'waiting' OR (s.kind = 'children' AND j.children_open = 0))
            ELSE bool_or(s.state <> 'waiting' OR (s.kind = 'children' AND j.children_open = 0))
        END, true)
    FROM work.jobs AS j
    LEFT JOIN work.steps AS s ON s.job_id = j.id AND s.key = ANY (j.waits) AND s.kind <> 'call'
    WHERE j.id = waits_over.job
    GROUP BY j.id);
END;
$$;
COMMENT ON FUNCTION work_engine.waits_over(uuid) IS 'Whether what a suspended job waits for has come.';

-- What a job waits for, if it has come: a signal is taken by this, so it is
-- asked once and for all. `state` is null while it has not.
CREATE FUNCTION work_engine.wait_now(
    j work.jobs, key text, kind text, name text, due timestamptz, OUT state text, OUT result jsonb
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken work.signals;
BEGIN
    IF kind = 'signal' THEN
        UPDATE work.signals AS s SET taken_by = wait_now.key
        WHERE s.id = (
            SELECT f.id FROM work.signals AS f
            WHERE f.job_id = j.id AND f.name = wait_now.name AND f.taken_by IS NULL
            ORDER BY f.id
            LIMIT 1)
        RETURNING s.* INTO taken;
        IF FOUND THEN
            state := 'done';
            result := taken.payload;
            RETURN;
        END IF;
    ELSIF kind = 'children' AND j.children_open = 0 THEN
        state := 'done';
        result := jsonb_build_object('total', j.children_total, 'failed', j.children_failed);
        RETURN;
    END IF;
    IF due <= clock_timestamp() THEN
        state := CASE WHEN kind = 'timer' THEN 'done' ELSE 'expired' END;
    END IF;
END;
$$;

-- Reads one wait as it was sent.
CREATE FUNCTION work_engine.read_wait(w jsonb, OUT key text, OUT kind text, OUT name text, OUT due interval)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    key := w ->> 'key';
    kind := w ->> 'kind';
    name := coalesce(w ->> 'name', key);
    IF key IS NULL OR char_length(key) NOT BETWEEN 1 AND 500 OR kind IS NULL
        OR kind NOT IN ('timer', 'signal', 'approval', 'children') OR char_length(name) > 500 THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a wait has a key and a kind: timer, signal, approval or children');
    ELSIF jsonb_typeof(w -> 'due_ms') NOT IN ('number', 'null') OR (kind = 'timer' AND (w ->> 'due_ms') IS NULL) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'due_ms is a number, and a timer has one');
    -- Ten years: what is further away is a mistake in the unit.
    ELSIF (w ->> 'due_ms')::numeric > 315576000000 THEN
        PERFORM work_engine.refuse(400, 'invalid', 'due_ms is at most ten years');
    ELSIF octet_length(w ->> 'prompt') > 16384 OR octet_length(w ->> 'form') > 65536 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a prompt has at most 16 KiB, a form 64 KiB');
    ELSIF kind = 'approval' AND (key LIKE 'budget:%' OR jsonb_typeof(w -> 'form') NOT IN ('object', 'null')) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a form is an object, and keys that begin with "budget:" are taken');
    END IF;
    due := make_interval(secs => (w ->> 'due_ms')::double precision / 1000);
END;
$$;

-- Waits. `state` is `suspended`; or `ready` when it had come already and the
-- job is still the claim's; or `stale`. `steps` are those that are over:
-- {key: {state, result}}, where state is `done` or `expired`.
CREATE FUNCTION work_engine.suspend(
    job uuid, epoch integer, waits jsonb, mode text DEFAULT 'any', OUT state text, OUT steps jsonb
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    j work.jobs;
    s work.steps;
    w record;
    now_ record;
    known boolean := false;
    left_ integer := 0;
BEGIN
    steps := '{}';
    -- A hundred: beyond that it is the children that one waits for.
    IF jsonb_typeof(waits) <> 'array' OR jsonb_array_length(waits) NOT BETWEEN 1 AND 100 OR mode NOT IN ('any', 'all') THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a job waits for 1 to 100 things, any or all of them');
    END IF;
    SELECT t.* INTO j FROM work.jobs AS t WHERE t.id = suspend.job FOR NO KEY UPDATE;
    IF NOT FOUND OR j.epoch <> suspend.epoch OR j.state <> 'running' OR j.waiting_on IS NOT NULL THEN
        state := 'stale';
        RETURN;
    END IF;
    -- What came at an earlier run counts first, so that `any` has one winner.
    FOR s IN
        SELECT t.* FROM work.steps AS t
        WHERE t.job_id = j.id AND t.key IN (SELECT e ->> 'key' FROM jsonb_array_elements(waits) AS e)
          AND (t.state IN ('done', 'expired') OR t.kind = 'call')
    LOOP
        IF s.kind = 'call' THEN
            PERFORM work_engine.refuse(409, 'conflict', format('step "%s" is a call', s.key));
        END IF;
        steps := steps || jsonb_build_object(s.key, jsonb_build_object('state', s.state, 'result', s.result));
        known := true;
    END LOOP;
    IF known AND mode = 'any' THEN
        state := 'ready';
        RETURN;
    END IF;
    FOR w IN
        SELECT r.*, t.due_at, t.kind AS old_kind
        FROM jsonb_array_elements(waits) WITH ORDINALITY AS e (wait, n)
        CROSS JOIN work_engine.read_wait(e.wait) AS r
        LEFT JOIN work.steps AS t ON t.job_id = j.id AND t.key = r.key
        WHERE NOT steps ? r.key
        ORDER BY e.n
    LOOP
        IF w.old_kind <> w.kind THEN
            PERFORM work_engine.refuse(409, 'conflict', format('step "%s" was a %s', w.key, w.old_kind));
        END IF;
        SELECT n.state, n.result INTO now_
        FROM work_engine.wait_now(j, w.key, w.kind, w.name, coalesce(w.due_at, clock_timestamp() + w.due)) AS n;
        IF now_.state IS NULL THEN
            left_ := left_ + 1;
            CONTINUE;
        END IF;
        INSERT INTO work.steps AS t (job_id, key, kind, state, epoch, target, result, finished_at)
        VALUES (j.id, w.key, w.kind, now_.state, j.epoch, w.name, now_.result, clock_timestamp())
        ON CONFLICT ON CONSTRAINT steps_pkey DO UPDATE
            SET state = excluded.state, result = excluded.result, epoch = excluded.epoch, finished_at = excluded.finished_at;
        steps := steps || jsonb_build_object(w.key, jsonb_build_object('state', now_.state, 'result', now_.result));
        IF mode = 'any' THEN
            left_ := 0;
            EXIT;
        END IF;
    END LOOP;
    IF left_ = 0 THEN
        state := 'ready';
        RETURN;
    END IF;
    PERFORM work_engine.park(j, waits, steps, mode);
    state := 'suspended';
END;
$$;
COMMENT ON FUNCTION work_engine.suspend(uuid, integer, jsonb, text) IS
    'Lets a job wait for timers, signals, approvals or its children, unless they have come already.';

-- Writes down what a job waits for and takes it off its worker.
CREATE FUNCTION work_engine.park(j work.jobs, waits jsonb, over jsonb, mode text)
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
    INSERT INTO work.attempts (job_id, epoch, outcome, worker, code_version, started_at)
    VALUES (j.id, j.epoch, 'suspended', j.worker, j.code_version, j.started_at)
    ON CONFLICT (job_id, epoch) DO NOTHING;
    PERFORM work_engine.note(j.id, 'job.waiting', jsonb_build_object('on', to_jsonb(kinds), 'mode', mode));
    IF j.limit_keys IS NOT NULL THEN
        PERFORM work_engine.free(ARRAY[j.id]);
    END IF;
END;
$$;

-- Writes down what came of the waits of jobs that are about to go on: children
-- that are over, and that the other waits of an `any` are forgotten. Returns
-- those that may go on; the others wait for what is left.
CREATE FUNCTION work_engine.decide(ids uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    over uuid[];
BEGIN
    UPDATE work.steps AS s
    SET state = 'done', finished_at = clock_timestamp(),
        result = jsonb_build_object('total', j.children_total, 'failed', j.children_failed)
    FROM work.jobs AS j
    WHERE j.id = ANY (ids) AND j.wait_mode IS NOT NULL AND s.job_id = j.id AND s.epoch = j.epoch
      AND s.kind = 'children' AND s.state = 'waiting' AND j.children_open <= 0;
    SELECT array_agg(j.id) INTO over
    FROM work.jobs AS j
    -- What neither runs nor is paused has left its waits behind: it is begun anew.
    WHERE j.id = ANY (ids) AND (j.wait_mode IS NULL OR j.state NOT IN ('running', 'paused') OR work_engine.waits_over(j.id));
    WITH losers AS (
        DELETE FROM work.steps AS s
        USING work.jobs AS j
        WHERE j.id = ANY (over) AND j.wait_mode IS NOT NULL AND s.job_id = j.id AND s.kind <> 'call' AND s.state = 'waiting'
        RETURNING s.job_id, s.key
    )
    UPDATE work.approvals AS a SET state = 'withdrawn'
    FROM losers AS l
    WHERE a.job_id = l.job_id AND a.step_key = l.key AND a.state = 'pending';
    UPDATE work.jobs AS j
    SET waiting_on = (
        SELECT s.kind FROM work.steps AS s
        WHERE s.job_id = j.id AND s.epoch = j.epoch AND s.state = 'waiting' ORDER BY s.kind LIMIT 1)
    WHERE j.id = ANY (ids) AND j.state = 'running' AND j.waiting_on = 'children' AND j.children_open <= 0
      AND NOT j.id = ANY (coalesce(over, '{}'));
    RETURN coalesce(over, '{}');
END;
$$;

-- After something came for these jobs, which the caller has locked: those that
-- have what they wait for go back into their queue, unless they are paused.
-- Returns how many do.
CREATE FUNCTION work_engine.wake(ids uuid[])
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    over uuid[];
BEGIN
    SELECT array_agg(j.id) INTO over
    FROM work.jobs AS j
    WHERE j.id = ANY (work_engine.decide(ids)) AND j.state = 'running' AND NOT j.is_group
      AND j.waiting_on IN ('children', 'signal', 'approval', 'timer')
      AND (j.wait_mode IS NOT NULL OR j.children_open <= 0);
    IF over IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE work.jobs AS j SET wait_mode = NULL WHERE j.id = ANY (over);
    PERFORM work_engine.ready(over);
    RETURN cardinality(over);
END;
$$;
COMMENT ON FUNCTION work_engine.wake(uuid[]) IS 'Queues those of these jobs again that have what they waited for.';

-- Sends a job a signal. A repeated idempotency key is the same signal. The
-- first step that waits for the name takes it; else it is kept for a later one.
CREATE FUNCTION work_engine.signal(
    job uuid, name text, payload jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL, OUT id uuid, OUT is_new boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    j work.jobs;
    step text;
BEGIN
    IF name IS NULL OR char_length(name) NOT BETWEEN 1 AND 200 OR char_length(idempotency_key) NOT BETWEEN 1 AND 300 THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a signal''s name has 1 to 200 characters, its idempotency key 1 to 300');
    ELSIF octet_length(payload::text) > 262144 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a signal''s payload has at most 256 KiB');
    END IF;
    SELECT t.* INTO j FROM work.jobs AS t WHERE t.id = signal.job FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such job');
    END IF;
    SELECT s.id INTO id FROM work.signals AS s
    WHERE s.job_id = j.id AND s.name = signal.name AND s.idempotency_key = signal.idempotency_key;
    is_new := NOT FOUND;
    IF NOT is_new THEN
        RETURN;
    ELSIF j.state IN ('completed', 'failed', 'cancelled') THEN
        PERFORM work_engine.refuse(409, 'conflict', format('the job is %s', j.state));
    -- Nobody takes a thousand signals of one job later; somebody sends them by mistake.
    ELSIF EXISTS (SELECT FROM work.signals AS s WHERE s.job_id = j.id AND s.taken_by IS NULL OFFSET 999) THEN
        PERFORM work_engine.refuse(429, 'over_limit', 'the job has 1000 signals that it has not taken');
    END IF;
    SELECT s.key INTO step FROM work.steps AS s
    WHERE s.job_id = j.id AND s.kind = 'signal' AND s.target = signal.name AND s.state = 'waiting' AND s.epoch = j.epoch
      AND coalesce(j.waiting_on, j.paused_from) IN ('children', 'signal', 'approval', 'timer')
    ORDER BY s.key
    LIMIT 1;
    INSERT INTO work.signals AS s (job_id, name, payload, idempotency_key, taken_by)
    VALUES (j.id, signal.name, signal.payload, signal.idempotency_key, step)
    RETURNING s.id INTO id;
    IF step IS NOT NULL THEN
        UPDATE work.steps AS s SET state = 'done', result = signal.payload, finished_at = clock_timestamp()
        WHERE s.job_id = j.id AND s.key = step;
        PERFORM work_engine.wake(ARRAY[j.id]);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.signal(uuid, text, jsonb, text) IS 'Sends a job a signal, once per idempotency key.';

-- What is due: timers that are done, and waits that nobody answered in time.
-- Jobs that somebody has locked are left for the next time.
CREATE FUNCTION work_engine.due_steps(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids uuid[];
    due integer;
BEGIN
    SELECT array_agg(j.id ORDER BY j.id) INTO ids
    FROM (
        SELECT t.id FROM work.jobs AS t
        WHERE t.id IN (
            SELECT s.job_id FROM work.steps AS s
            WHERE s.state = 'waiting' AND s.due_at <= clock_timestamp()
            ORDER BY s.due_at
            LIMIT most)
        ORDER BY t.id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    WITH over AS (
        UPDATE work.steps AS s
        SET state = CASE WHEN s.kind = 'timer' THEN 'done' ELSE 'expired' END, finished_at = clock_timestamp(), due_at = NULL
        FROM (
            -- Where any of them wakes the job, the one that was due first.
            SELECT d.job_id, d.key,
                row_number() OVER (PARTITION BY d.job_id ORDER BY d.due_at, d.key) = 1
                    OR j.wait_mode = 'all' OR d.epoch <> j.epoch AS wins
            FROM work.steps AS d JOIN work.jobs AS j ON j.id = d.job_id
            WHERE d.job_id = ANY (ids) AND d.state = 'waiting' AND d.due_at <= clock_timestamp()
        ) AS w
        WHERE s.job_id = w.job_id AND s.key = w.key AND s.state = 'waiting' AND w.wins
        RETURNING s.job_id, s.key, s.kind
    ), expired AS (
        UPDATE work.approvals AS a SET state = 'expired'
        FROM over AS o
        WHERE o.kind = 'approval' AND a.job_id = o.job_id AND a.step_key = o.key AND a.state IN ('pending', 'withdrawn')
    )
    SELECT count(*) INTO due FROM over;
    PERFORM work_engine.wake(ids);
    RETURN due;
END;
$$;
COMMENT ON FUNCTION work_engine.due_steps(integer) IS 'Ends timers and waits that are due, and wakes their jobs.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
