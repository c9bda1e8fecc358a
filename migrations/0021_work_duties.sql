-- Why: what nobody asks for and somebody must do: rescue what dead workers hold,
-- start what is due, end what is late. Every duty may run anywhere, at any time,
-- any number of times: rows that somebody else has are skipped.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work_engine.rescue(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
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
    PERFORM work_engine.dropped(late, 'timed_out');
    UPDATE work.jobs AS j
    SET state = 'failed', waiting_on = NULL, reason = NULL, error = '{"code": "deadline"}',
        finished_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE j.id = ANY (late);
    PERFORM work_engine.tell(late);
    targets := work_engine.order_cancel(late, 'deadline');
    targets := targets || work_engine.ended(late);
    IF targets IS NOT NULL THEN
        PERFORM work_engine.arrive(targets);
    END IF;
    RETURN cardinality(late);
END;
$$;
COMMENT ON FUNCTION work_engine.expire(integer) IS 'Fails what is past its deadline and has what is below it cancelled; returns how many.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
