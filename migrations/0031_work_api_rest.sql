-- Why: the rest of what 0029 begins: steps and waits of a job that a worker
-- holds, and what people do to whole jobs, each behind the same guard.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work.step_begin(
    job uuid, epoch integer, key text, version text DEFAULT '', request_hash text DEFAULT NULL, unit text DEFAULT NULL,
    estimate numeric DEFAULT NULL, idempotent boolean DEFAULT true)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.guard(job);
    IF request_hash !~ '^([0-9a-fA-F]{2}){1,64}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', MESSAGE = 'request_hash is up to 64 bytes in hex', DETAIL = 'invalid';
    END IF;
    RETURN (SELECT to_jsonb(s) FROM work_engine.step_begin(
        job, epoch, key, version, decode(request_hash, 'hex'), unit, estimate, idempotent) AS s);
END;
$$;
COMMENT ON FUNCTION work.step_begin(uuid, integer, text, text, text, text, numeric, boolean) IS
    'Begins a step: {verdict, result, handle, idempotency_token}.';

CREATE FUNCTION work.step_handle(job uuid, epoch integer, key text, handle jsonb)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.guard(job);
    RETURN work_engine.step_handle(job, epoch, key, handle);
END;
$$;
COMMENT ON FUNCTION work.step_handle(uuid, integer, text, jsonb) IS 'Keeps the provider''s word for work in progress there.';

CREATE FUNCTION work.step_end(
    job uuid, epoch integer, key text, result jsonb, cost numeric DEFAULT NULL, usage jsonb DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.guard(job);
    RETURN (SELECT jsonb_build_object('outcome', s.outcome, 'result', s.winner)
            FROM work_engine.step_end(job, epoch, key, result, cost, usage) AS s);
END;
$$;
COMMENT ON FUNCTION work.step_end(uuid, integer, text, jsonb, numeric, jsonb) IS
    'Keeps a step''s result: {outcome, result}, where result is the one that counts.';

CREATE FUNCTION work.step_fail(job uuid, epoch integer, key text, error jsonb, charged boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.guard(job);
    RETURN work_engine.step_fail(job, epoch, key, error, charged);
END;
$$;
COMMENT ON FUNCTION work.step_fail(uuid, integer, text, jsonb, boolean) IS 'Says that a step came to nothing, and whether it cost.';

CREATE FUNCTION work.suspend(job uuid, epoch integer, waits jsonb, mode text DEFAULT 'any')
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting jsonb;
BEGIN
    PERFORM work_engine.guard(job);
    SELECT to_jsonb(s) INTO waiting FROM work_engine.suspend(job, epoch, waits, mode) AS s;
    PERFORM work_engine.announce_made(ARRAY[job]);
    RETURN waiting;
END;
$$;
COMMENT ON FUNCTION work.suspend(uuid, integer, jsonb, text) IS
    'Lets a job wait without a worker: {state, steps}, where state is suspended, ready or stale.';

-- `kind` is job.log, or job.chunk for parts of an output as it comes.
CREATE FUNCTION work.log(
    job uuid, epoch integer, message text DEFAULT NULL, data jsonb DEFAULT NULL, kind text DEFAULT 'job.log')
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said jsonb := coalesce(data, jsonb_build_object('message', message));
    stream uuid;
BEGIN
    PERFORM work_engine.guard(job);
    IF kind NOT IN ('job.log', 'job.chunk') OR octet_length(said::text) > 65536 THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', DETAIL = 'invalid',
            MESSAGE = 'kind is job.log or job.chunk, and an entry takes at most 64 KiB';
    END IF;
    SELECT j.stream_id INTO stream FROM work.jobs AS j
    WHERE j.id = log.job AND j.epoch = log.epoch AND j.state = 'running' AND j.stream_id IS NOT NULL;
    IF stream IS NULL THEN
        RETURN false;
    END IF;
    PERFORM work_engine.append(ARRAY[stream], ARRAY[job], ARRAY[kind], ARRAY[said]);
    PERFORM work_engine.announce('{}', ARRAY[stream], '{}');
    RETURN true;
END;
$$;
COMMENT ON FUNCTION work.log(uuid, integer, text, jsonb, text) IS
    'Tells the job''s stream something; false if it has none or is no longer held.';

CREATE FUNCTION work.signal(job uuid, name text, payload jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent jsonb;
BEGIN
    PERFORM work_engine.guard(job);
    SELECT to_jsonb(s) INTO sent FROM work_engine.signal(job, name, payload, idempotency_key) AS s;
    PERFORM work_engine.announce_made(ARRAY[job]);
    RETURN sent;
END;
$$;
COMMENT ON FUNCTION work.signal(uuid, text, jsonb, text) IS 'Sends a job a signal: {id, is_new}.';

CREATE FUNCTION work.answer(approval uuid, answer jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := work_engine.asker();
    done jsonb;
BEGIN
    IF NOT EXISTS (
        SELECT FROM work.approvals AS a
        WHERE a.id = answer.approval AND (me IS NULL OR a.owner = me OR a.assignee = me)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'PT404', MESSAGE = 'There is no such approval', DETAIL = 'not_found';
    END IF;
    SELECT to_jsonb(d) INTO done FROM work_engine.answer(answer.approval, answer.answer, work.me()) AS d;
    PERFORM pg_notify('ferrobase_work', '{"all":true}');
    RETURN done;
END;
$$;
COMMENT ON FUNCTION work.answer(uuid, jsonb) IS 'Answers what a job asked the caller: {job_id, step_key, state}.';

DO $$
DECLARE
    verb text;
BEGIN
    FOREACH verb IN ARRAY ARRAY['pause', 'resume', 'retry'] LOOP
        EXECUTE format($f$
            CREATE FUNCTION work.%1$I(job uuid)
            RETURNS TABLE (id uuid, state text)
            LANGUAGE plpgsql
            SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp
            AS $body$
            #variable_conflict use_column
            BEGIN
                PERFORM work_engine.guard(job);
                RETURN QUERY SELECT c.id, c.state FROM work_engine.%1$I(job) AS c;
                PERFORM pg_notify('ferrobase_work', '{"all":true}');
            END;
            $body$
        $f$, verb);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION work.pause(uuid) IS 'Stops a job and everything below it until it is resumed.';
COMMENT ON FUNCTION work.resume(uuid) IS 'Goes on with a job that was paused, and everything below it.';
COMMENT ON FUNCTION work.retry(uuid) IS 'Tries again what failed or was cancelled.';

CREATE FUNCTION work.cancel(job uuid, reason text DEFAULT NULL)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM work_engine.guard(job);
    RETURN QUERY SELECT c.id, c.state FROM work_engine.cancel(job, left(reason, 200)) AS c;
    PERFORM pg_notify('ferrobase_work', '{"all":true}');
END;
$$;
COMMENT ON FUNCTION work.cancel(uuid, text) IS 'Ends a job and everything below it.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work, work_engine FROM PUBLIC;
SELECT ferrobase.attempt('schema work for callers', 'jobs cannot be submitted by functions', $$
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA work TO authenticated, service_role
$$);
SELECT work_engine.admit();
