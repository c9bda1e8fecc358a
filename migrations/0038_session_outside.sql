-- Why: jobs whose runner is somebody else's program that knows states and
-- nothing of claims, leases and epochs: it says "running", and later
-- "completed". Each such word becomes what a worker would do, under the lock of
-- the job and the job's own epoch, so that no transition is possible that the
-- engine would not make.
-- Lock impact: functions only; nothing is locked.

-- A job for an outside runner. It has one attempt: whoever reports a failure
-- has decided. A parent that is over already is remembered, no more.
CREATE FUNCTION work.add_outside_job(
    session_id uuid, type text, input jsonb DEFAULT '{}', parent_job_id uuid DEFAULT NULL, queue text DEFAULT 'outside')
RETURNS work.jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session work.sessions;
    parent work.jobs;
    made work.jobs;
    spec jsonb;
BEGIN
    SELECT s.* INTO session FROM work.sessions AS s
    WHERE s.id = add_outside_job.session_id AND (s.owner = work.me() OR work_engine.unrestricted())
    FOR KEY SHARE;
    IF session.id IS NULL THEN
        PERFORM work_engine.refuse(404, 'not_found', 'there is no such session');
    END IF;
    spec := jsonb_build_object('type', type, 'input', input, 'session_id', session.id, 'queue', queue,
        'max_attempts', 1, 'on_child_failure', 'ignore');
    IF session.owner IS NOT NULL THEN
        spec := spec || jsonb_build_object('owner', session.owner);
    END IF;
    IF parent_job_id IS NOT NULL THEN
        SELECT j.* INTO parent FROM work.jobs AS j WHERE j.id = parent_job_id AND j.session_id = session.id;
        IF parent.id IS NULL THEN
            PERFORM work_engine.refuse(404, 'not_found', 'there is no such parent in this session');
        END IF;
        spec := spec || CASE WHEN parent.state IN ('queued', 'running', 'paused')
            THEN jsonb_build_object('parent_id', parent.id)
            ELSE jsonb_build_object('labels', jsonb_build_object('parent_job_id', parent.id)) END;
    END IF;
    SELECT s.id INTO made.id FROM work_engine.submit(jsonb_build_array(spec)) AS s;
    -- A new statement: it sees what the one before has made.
    SELECT j.* INTO made FROM work.jobs AS j WHERE j.id = made.id;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION work.add_outside_job(uuid, text, jsonb, uuid, text) IS
    'A job that somebody outside runs and reports on with work.report_job.';

-- Takes one job as claim does. Outside runners send no heartbeats, so the lease
-- is as long as such a job may be forgotten before it is queued again.
CREATE FUNCTION work_engine.claim_one(job work.jobs, by_worker text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fence integer;
BEGIN
    UPDATE work.jobs AS j
    SET state = 'running', epoch = j.epoch + 1, worker = by_worker, code_version = NULL, reason = NULL,
        lease_until = clock_timestamp() + interval '24 hours',
        deadline_at = CASE WHEN j.started_at IS NULL AND j.time_limit IS NOT NULL
                           THEN least(j.deadline_at, clock_timestamp() + j.time_limit) ELSE j.deadline_at END,
        started_at = coalesce(j.started_at, clock_timestamp()), updated_at = clock_timestamp()
    WHERE j.id = job.id AND j.state = 'queued' AND j.waiting_on IS NULL
    RETURNING j.epoch INTO fence;
    IF fence IS NULL THEN
        PERFORM work_engine.refuse(409, 'conflict', 'the job cannot start yet');
    END IF;
    PERFORM work_engine.tell_as(ARRAY[job.id], 'job.started');
    RETURN fence;
END;
$$;

-- What an outside runner may say of a job in this state. Nothing leads out of
-- an end.
CREATE FUNCTION work_engine.may_become(from_state text, to_state text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT from_state = to_state OR to_state = ANY (CASE from_state
        -- Who reports the end alone has started, too.
        WHEN 'queued' THEN ARRAY['running', 'paused', 'completed', 'failed', 'cancelled']
        WHEN 'running' THEN ARRAY['queued', 'paused', 'completed', 'failed', 'cancelled']
        WHEN 'paused' THEN ARRAY['queued', 'running', 'cancelled']
        ELSE '{}'::text[] END)
$$;

CREATE FUNCTION work_engine.outside_step(job work.jobs, wanted text, by_worker text, result jsonb, fault jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fence integer := job.epoch;
    ended text;
BEGIN
    IF wanted = 'cancelled' THEN
        PERFORM work_engine.cancel(job.id, 'cancelled by its owner');
    ELSIF wanted = 'paused' THEN
        PERFORM work_engine.pause(job.id);
    ELSE
        IF job.state = 'paused' THEN
            PERFORM work_engine.resume(job.id);
        END IF;
        IF job.state = 'running' AND job.worker IS DISTINCT FROM by_worker THEN
            PERFORM work_engine.refuse(409, 'taken', 'a worker has this job');
        END IF;
        IF job.state <> 'running' AND wanted <> 'queued' THEN
            fence := work_engine.claim_one(job, by_worker);
        END IF;
        IF wanted IN ('completed', 'failed') OR (wanted = 'queued' AND job.state = 'running') THEN
            SELECT f.state INTO ended
            FROM work_engine.finish(ARRAY[job.id], ARRAY[fence],
                ARRAY[CASE wanted WHEN 'queued' THEN 'released' ELSE wanted END],
                ARRAY[result], ARRAY[fault], ARRAY[false], ARRAY[NULL::interval]) AS f;
            IF ended IS NULL THEN
                PERFORM work_engine.refuse(409, 'stale', 'the job has changed meanwhile');
            END IF;
        END IF;
    END IF;
END;
$$;

-- The fields: state, output, error (a text or an object), progress, message.
CREATE FUNCTION work.report_job(job_id uuid, change jsonb)
RETURNS work.jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job work.jobs;
    wanted text;
    fault jsonb;
BEGIN
    SELECT j.* INTO job FROM work.jobs AS j
    WHERE j.id = job_id AND (j.owner = work.me() OR work_engine.unrestricted())
    FOR NO KEY UPDATE;
    IF job.id IS NULL THEN
        PERFORM work_engine.refuse(404, 'not_found', 'there is no such job');
    END IF;
    wanted := coalesce(change ->> 'state', job.state);
    IF wanted NOT IN ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled') THEN
        PERFORM work_engine.refuse(400, 'invalid', 'there is no such state');
    END IF;
    IF NOT work_engine.may_become(job.state, wanted) THEN
        PERFORM work_engine.refuse(409, 'conflict', format('a job that is %s cannot become %s', job.state, wanted));
    END IF;
    IF job.state IN ('completed', 'failed', 'cancelled') AND change ?| ARRAY['output', 'error', 'progress', 'message'] THEN
        PERFORM work_engine.refuse(409, 'conflict', format('a job that is %s does not change', job.state));
    END IF;
    IF job.is_group THEN
        PERFORM work_engine.refuse(409, 'conflict', 'a group ends with its children');
    END IF;
    fault := CASE jsonb_typeof(change -> 'error')
        WHEN 'string' THEN jsonb_build_object('code', 'reported', 'message', change ->> 'error')
        WHEN 'null' THEN NULL
        ELSE change -> 'error' END;
    IF change ?| ARRAY['output', 'error', 'progress', 'message'] THEN
        UPDATE work.jobs AS j
        SET output = CASE WHEN change ? 'output' THEN change -> 'output' ELSE j.output END,
            error = CASE WHEN change ? 'error' THEN fault ELSE j.error END,
            progress = coalesce((change ->> 'progress')::real, j.progress),
            message = CASE WHEN change ? 'message' THEN left(change ->> 'message', 2000) ELSE j.message END,
            lease_until = CASE WHEN j.lease_until IS NOT NULL THEN clock_timestamp() + interval '24 hours' END,
            updated_at = clock_timestamp()
        WHERE j.id = job.id RETURNING j.* INTO job;
    END IF;
    IF wanted <> job.state THEN
        PERFORM work_engine.outside_step(job, wanted, 'outside:' || coalesce(job.owner, ''), job.output, coalesce(fault, job.error));
    END IF;
    SELECT j.* INTO job FROM work.jobs AS j WHERE j.id = job.id;
    -- Who watches or works hears of it now and not with the next look.
    PERFORM pg_notify('ferrobase_work', jsonb_build_object('s', to_jsonb(array_remove(ARRAY[job.stream_id], NULL)),
        'c', to_jsonb(CASE WHEN job.state IN ('paused', 'cancelled') THEN ARRAY[job.id] ELSE '{}'::uuid[] END))::text);
    RETURN job;
END;
$$;
COMMENT ON FUNCTION work.report_job(uuid, jsonb) IS
    'What an outside runner says of a job: {state, output, error, progress, message}. Transitions are the engine''s.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
REVOKE ALL ON FUNCTION work.add_outside_job(uuid, text, jsonb, uuid, text), work.report_job(uuid, jsonb) FROM PUBLIC;
SELECT ferrobase.attempt('jobs of outside runners, for callers', 'outside runners cannot report', $$
    GRANT EXECUTE ON FUNCTION work.add_outside_job(uuid, text, jsonb, uuid, text), work.report_job(uuid, jsonb)
        TO authenticated, service_role
$$);
SELECT work_engine.admit();
