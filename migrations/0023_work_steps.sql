-- Why: what a job did is kept by name, so that nobody pays for it twice. A
-- worker asks before a call (`step_begin`), tells what the provider calls the
-- work in progress (`step_handle`), and keeps what came of it (`step_end`,
-- `step_fail`). The claim's number fences the job, never the money: a result
-- that was paid for is kept even when its claim has lost the job by then.
-- Lock order, here and in the files that follow: steps of kind `call`, then budgets,
-- then jobs by id, then waits and approvals, then streams with SKIP LOCKED.
-- Lock impact: adds columns with constant defaults to tables that 0014 made.

ALTER TABLE work.steps
    -- The claim whose result is kept, to tell a repeated message from a second payment.
    ADD COLUMN finished_epoch integer,
    -- The first claim of this version and request: what older ones bring is of another question.
    ADD COLUMN since_epoch integer NOT NULL DEFAULT 0;
ALTER TABLE work.ledger
    -- The claim that paid.
    ADD COLUMN epoch integer;
-- What is reserved for jobs that are over, for the duty that gives it back.
CREATE INDEX steps_reserved ON work.steps (job_id) WHERE reserved > 0;

-- One event of one job, if the job tells anything.
CREATE FUNCTION work_engine.note(job uuid, kind text, data jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stream uuid;
BEGIN
    SELECT j.stream_id INTO stream FROM work.jobs AS j WHERE j.id = note.job;
    IF stream IS NOT NULL THEN
        PERFORM work_engine.append(ARRAY[stream], ARRAY[note.job], ARRAY[note.kind], ARRAY[note.data]);
    END IF;
END;
$$;

-- The job and everything above it: whose budgets count.
CREATE FUNCTION work_engine.line_of(job uuid)
RETURNS uuid[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line uuid[] := '{}';
    above uuid := job;
BEGIN
    -- Few jobs have more than three above them.
    WHILE above IS NOT NULL LOOP
        line := line || above;
        SELECT j.parent_id INTO above FROM work.jobs AS j WHERE j.id = above;
    END LOOP;
    RETURN line;
END;
$$;

-- May this claim make this call? Verdicts:
--   hit          it was made: `result`
--   run          make it, with `idempotency_token`
--   resume       it is under way at the provider: `handle`
--   in_doubt     an older claim may have made it, and the provider cannot tell
--   over_budget  it would cost more than is left: `result` says of what
--   mismatch     the same key and version were used for another request
--   stale        the job is not this claim's any more
CREATE FUNCTION work_engine.step_begin(
    job uuid, epoch integer, key text, version text, request_hash bytea, unit text, estimate numeric,
    idempotent boolean DEFAULT true,
    OUT verdict text, OUT result jsonb, OUT handle jsonb, OUT idempotency_token uuid
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s work.steps;
    fresh boolean;
    same boolean;
    hold numeric;
BEGIN
    IF NOT EXISTS (
        SELECT FROM work.jobs AS j
        WHERE j.id = step_begin.job AND j.epoch = step_begin.epoch AND j.state = 'running' AND j.waiting_on IS NULL
    ) THEN
        verdict := 'stale';
        RETURN;
    END IF;
    version := coalesce(version, '');
    PERFORM work_engine.check_step(key, unit, estimate);
    -- Calls are spent at once, not reserved.
    hold := CASE WHEN step_begin.unit <> 'calls' THEN coalesce(step_begin.estimate, 0) ELSE 0 END;
    INSERT INTO work.steps AS t (job_id, key, state, epoch, since_epoch, version, request_hash, unit, reserved)
    VALUES (job, step_begin.key, 'started', step_begin.epoch, step_begin.epoch, step_begin.version, step_begin.request_hash,
        step_begin.unit, hold)
    ON CONFLICT ON CONSTRAINT steps_pkey DO NOTHING;
    fresh := FOUND;
    SELECT t.* INTO s FROM work.steps AS t WHERE t.job_id = step_begin.job AND t.key = step_begin.key FOR UPDATE;
    IF s.kind <> 'call' THEN
        PERFORM work_engine.refuse(409, 'conflict', format('step "%s" is something the job waits for', key));
    ELSIF s.epoch > step_begin.epoch THEN
        verdict := 'stale';
        RETURN;
    END IF;
    same := s.version = step_begin.version;
    IF NOT fresh AND same AND s.state <> 'failed' THEN
        IF s.request_hash <> step_begin.request_hash THEN
            verdict := 'mismatch';
            RETURN;
        ELSIF s.state = 'done' THEN
            verdict := 'hit';
            result := s.result;
            RETURN;
        END IF;
        SELECT t.verdict, t.result INTO verdict, result FROM work_engine.step_again(s, step_begin.epoch, idempotent) AS t;
        handle := s.handle;
        idempotency_token := s.idempotency_token;
        RETURN;
    END IF;
    IF s.reserved > 0 AND NOT same THEN
        -- Other code asks something else. Whether the old call was paid nobody
        -- will find out any more, so it counts as if it was.
        PERFORM work_engine.settle(s, jsonb_build_object(s.unit, s.reserved));
    END IF;
    result := work_engine.reserve(job, key, epoch, unit, estimate);
    IF result IS NOT NULL THEN
        IF fresh THEN
            DELETE FROM work.steps AS t WHERE t.job_id = step_begin.job AND t.key = step_begin.key;
        END IF;
        verdict := 'over_budget';
        RETURN;
    END IF;
    IF NOT fresh THEN
        same := same AND s.request_hash IS NOT DISTINCT FROM step_begin.request_hash;
        UPDATE work.steps AS t
        SET state = 'started', epoch = step_begin.epoch, version = step_begin.version,
            since_epoch = CASE WHEN same THEN t.since_epoch ELSE step_begin.epoch END,
            -- A provider would answer the old question to the old token.
            idempotency_token = CASE WHEN same THEN t.idempotency_token ELSE gen_random_uuid() END,
            request_hash = step_begin.request_hash, handle = NULL, result = NULL, error = NULL,
            unit = step_begin.unit, reserved = hold, late = false, tries = t.tries + 1,
            started_at = clock_timestamp(), finished_at = NULL, finished_epoch = NULL
        WHERE t.job_id = step_begin.job AND t.key = step_begin.key
        RETURNING t.idempotency_token INTO idempotency_token;
    ELSE
        idempotency_token := s.idempotency_token;
    END IF;
    verdict := 'run';
END;
$$;
COMMENT ON FUNCTION work_engine.step_begin(uuid, integer, text, text, bytea, text, numeric, boolean) IS
    'May this claim make this call: hit, run, resume, in_doubt, over_budget, mismatch or stale.';

CREATE FUNCTION work_engine.check_step(key text, unit text, estimate numeric)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF key IS NULL OR char_length(key) NOT BETWEEN 1 AND 500 THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a step''s key has 1 to 500 characters');
    ELSIF unit IS NOT NULL AND unit NOT IN ('usd', 'tokens', 'seconds', 'calls') THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a step costs usd, tokens, seconds or calls');
    ELSIF estimate < 0 OR estimate = 'NaN' OR (estimate > 0 AND unit IS NULL) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'an estimate is a number of at least 0, of a unit');
    END IF;
END;
$$;

-- A step that is begun and not ended, begun again: by the same claim (its
-- message came twice) or by the next one (the last one is gone).
CREATE FUNCTION work_engine.step_again(s work.steps, epoch integer, idempotent boolean, OUT verdict text, OUT result jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    verdict := CASE
        WHEN s.handle IS NOT NULL THEN 'resume'
        WHEN s.state = 'in_doubt' THEN 'in_doubt'
        WHEN s.epoch < step_again.epoch AND NOT coalesce(idempotent, true) THEN 'in_doubt'
        ELSE 'run'
    END;
    IF verdict = 'run' AND s.epoch < step_again.epoch THEN
        -- The reservation stands, the money may be gone; only the call itself is one more.
        result := work_engine.reserve(s.job_id, s.key, step_again.epoch, NULL, NULL);
        IF result IS NOT NULL THEN
            verdict := 'over_budget';
            RETURN;
        END IF;
    END IF;
    UPDATE work.steps AS t
    SET epoch = step_again.epoch,
        state = CASE WHEN step_again.verdict = 'in_doubt' THEN 'in_doubt' ELSE 'started' END,
        tries = t.tries + (step_again.verdict = 'run' AND s.epoch < step_again.epoch)::integer
    WHERE t.job_id = s.job_id AND t.key = s.key AND (t.epoch <> step_again.epoch OR t.state <> 'started');
END;
$$;

-- What the provider calls the work in progress, kept before anybody waits for
-- it: `kept`, or `stale` when the step is over or another one's.
CREATE FUNCTION work_engine.step_handle(job uuid, epoch integer, key text, handle jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A handle is an id or an address; a result belongs to `step_end`.
    IF octet_length(handle::text) > 16384 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a step''s handle has at most 16 KiB');
    END IF;
    UPDATE work.steps AS t
    SET handle = step_handle.handle
    WHERE t.job_id = step_handle.job AND t.key = step_handle.key AND t.kind = 'call'
      AND t.state IN ('started', 'in_doubt')
      AND t.since_epoch <= step_handle.epoch AND (t.epoch = step_handle.epoch OR t.handle IS NULL);
    RETURN CASE WHEN FOUND THEN 'kept' ELSE 'stale' END;
END;
$$;

-- Keeps a result and settles what it cost. Outcomes: `kept`, `late` (kept, by
-- a claim that has lost the job), `superseded` (another claim was first:
-- `winner` is its result, and what this one cost is booked all the same).
CREATE FUNCTION work_engine.step_end(
    job uuid, epoch integer, key text, result jsonb, cost numeric DEFAULT NULL, usage jsonb DEFAULT NULL,
    OUT outcome text, OUT winner jsonb
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s work.steps;
    holds boolean;
    charges jsonb;
BEGIN
    -- Larger ones belong into storage, and their address here: a megabyte is
    -- carried by every claim that comes after.
    IF octet_length(result::text) > 1048576 OR octet_length(usage::text) > 16384 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a step''s result has at most 1 MiB, its usage 16 KiB');
    ELSIF cost < 0 OR cost = 'NaN' THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a cost is at least 0');
    END IF;
    SELECT t.* INTO s FROM work.steps AS t
    WHERE t.job_id = step_end.job AND t.key = step_end.key AND t.kind = 'call' FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', format('step "%s" was never begun', key));
    END IF;
    IF cost > 0 AND s.unit IS NULL THEN
        -- Who names no unit means money.
        s.unit := 'usd';
    END IF;
    charges := work_engine.charges(s, cost, usage);
    IF s.state = 'done' OR epoch < s.since_epoch THEN
        IF s.finished_epoch = epoch THEN
            outcome := CASE WHEN s.late THEN 'late' ELSE 'kept' END;
        ELSE
            outcome := 'superseded';
            PERFORM work_engine.settle_once(s, epoch, charges);
        END IF;
        winner := s.result;
        RETURN;
    END IF;
    SELECT j.epoch = step_end.epoch AND j.state = 'running' AND j.waiting_on IS NULL INTO holds
    FROM work.jobs AS j WHERE j.id = step_end.job;
    UPDATE work.steps AS t
    SET state = 'done', result = step_end.result, error = NULL, usage = step_end.usage, late = NOT holds,
        unit = s.unit, cost = t.cost + coalesce((charges ->> s.unit)::numeric, 0),
        reserved = 0, finished_at = clock_timestamp(), finished_epoch = step_end.epoch
    WHERE t.job_id = step_end.job AND t.key = step_end.key;
    s.epoch := epoch;
    PERFORM work_engine.settle(s, charges, true);
    PERFORM work_engine.note(job, 'step.completed', jsonb_strip_nulls(jsonb_build_object(
        'key', key, 'unit', s.unit, 'cost', cost, 'late', nullif(NOT holds, false))));
    outcome := CASE WHEN holds THEN 'kept' ELSE 'late' END;
    winner := result;
END;
$$;
COMMENT ON FUNCTION work_engine.step_end(uuid, integer, text, jsonb, numeric, jsonb) IS
    'Keeps a step''s result, the first that comes, and settles its cost.';

-- A call that came to nothing: it may be made again. `charged` says whether it
-- cost what was reserved, or nothing.
CREATE FUNCTION work_engine.step_fail(job uuid, epoch integer, key text, error jsonb, charged boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s work.steps;
BEGIN
    IF octet_length(error::text) > 65536 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a step''s error has at most 64 KiB');
    END IF;
    SELECT t.* INTO s FROM work.steps AS t
    WHERE t.job_id = step_fail.job AND t.key = step_fail.key AND t.kind = 'call' FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', format('step "%s" was never begun', key));
    ELSIF s.epoch <> step_fail.epoch OR s.state NOT IN ('started', 'in_doubt') THEN
        RETURN 'stale';
    END IF;
    UPDATE work.steps AS t
    SET state = 'failed', error = step_fail.error, handle = NULL, reserved = 0, finished_at = clock_timestamp()
    WHERE t.job_id = step_fail.job AND t.key = step_fail.key;
    PERFORM work_engine.settle(s, CASE WHEN charged AND s.reserved > 0 THEN jsonb_build_object(s.unit, s.reserved) ELSE '{}' END);
    RETURN 'kept';
END;
$$;
COMMENT ON FUNCTION work_engine.step_fail(uuid, integer, text, jsonb, boolean) IS 'Ends a step without a result; it may be begun again.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
