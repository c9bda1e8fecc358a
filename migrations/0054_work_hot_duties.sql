-- Why: the duties, on what 0041 made: what is due, late, parked, left behind or
-- old is found by the columns and tables of its own that it has there.
-- Lock impact: creates and replaces functions only; no existing relation is locked.

-- Goes through what was claimed so long ago that a lease may be over. Of most of
-- it nothing is left to do: the jobs ended, and nobody said so here.
CREATE FUNCTION work_engine.expired(most integer)
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    -- Together so many jobs that one turn stays short, and so many that a turn
    -- each second keeps up with the claims of a busy second.
    rounds_max CONSTANT integer := 40;
    holds_max CONSTANT integer := 50;
    looked uuid[];
    held uuid[];
    late uuid[] := '{}';
    others uuid[] := '{}';
BEGIN
    FOR round IN 1..rounds_max LOOP
        WITH due AS MATERIALIZED (
            SELECT h.ctid AS spot FROM work_engine.holds AS h
            WHERE h.look_at <= clock_timestamp()
            ORDER BY h.look_at LIMIT holds_max
            FOR UPDATE SKIP LOCKED
        ),
        gone AS (
            DELETE FROM work_engine.holds AS h WHERE h.ctid = ANY (ARRAY(SELECT d.spot FROM due AS d)) RETURNING h.jobs
        )
        SELECT array_agg(u.id) INTO looked FROM gone AS g CROSS JOIN LATERAL unnest(g.jobs) AS u (id);
        EXIT WHEN looked IS NULL;
        held := NULL;
        IF cardinality(late) < most THEN
            SELECT array_agg(j.id) INTO held
            FROM (
                SELECT j.id
                FROM (SELECT DISTINCT u.id FROM unnest(looked) AS u (id)) AS u JOIN work.jobs AS j ON j.id = u.id
                WHERE j.state = 'running' AND j.lease_until < clock_timestamp()
                ORDER BY j.lease_until LIMIT most - cardinality(late)
                FOR NO KEY UPDATE OF j SKIP LOCKED
            ) AS j;
            late := late || coalesce(held, '{}');
        END IF;
        others := others || looked;
        EXIT WHEN cardinality(late) >= most;
    END LOOP;
    -- What goes on, what somebody else has locked, and what is too much for
    -- this turn: when its lease ends, or with the next turn.
    INSERT INTO work_engine.holds (look_at, jobs)
    SELECT min(k.lease_until), array_agg(k.id)
    FROM (
        SELECT j.id, j.lease_until, row_number() OVER (ORDER BY j.lease_until) / 100 AS part
        FROM (
            SELECT u.id FROM unnest(others) AS u (id) EXCEPT SELECT u.id FROM unnest(late) AS u (id)
        ) AS u JOIN work.jobs AS j ON j.id = u.id
        WHERE j.lease_until IS NOT NULL
    ) AS k
    GROUP BY k.part;
    RETURN nullif(late, '{}');
END;
$$;
COMMENT ON FUNCTION work_engine.expired(integer) IS 'Locks and returns jobs whose lease ran out, and has the others of their claim looked at later.';

CREATE OR REPLACE FUNCTION work_engine.rescue(most integer)
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
    held := work_engine.expired(rescue.most);
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

CREATE OR REPLACE FUNCTION work_engine.promote(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    delayed uuid[];
    again uuid[];
    done integer;
BEGIN
    SELECT array_agg(j.id) FILTER (WHERE j.waiting_on = 'time'), array_agg(j.id) FILTER (WHERE j.waiting_on = 'retry'), count(*)
    INTO delayed, again, done
    FROM (
        SELECT j.id, j.waiting_on FROM work.jobs AS j
        WHERE j.due_at <= clock_timestamp() AND j.waiting_on IN ('time', 'retry') AND j.state = 'queued'
        ORDER BY j.due_at LIMIT promote.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF delayed IS NOT NULL THEN
        PERFORM work_engine.ready(delayed);
    END IF;
    IF again IS NOT NULL THEN
        -- They had their turn already and need not go to the end of the line.
        PERFORM work_engine.line_up(again);
    END IF;
    done := done + work_engine.expire(promote.most);
    -- Timers and waits with an end come with a later migration.
    IF to_regprocedure('work_engine.due_steps(integer)') IS NOT NULL THEN
        done := done + coalesce(work_engine.due_steps(promote.most), 0);
    END IF;
    RETURN done;
END;
$$;

CREATE OR REPLACE FUNCTION work_engine.expire(most integer)
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
        WHERE j.expires_at <= clock_timestamp()
        ORDER BY j.expires_at LIMIT expire.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS j;
    IF late IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE work.jobs AS j
    SET state = 'failed', waiting_on = NULL, paused_from = NULL, reason = NULL, error = '{"code": "deadline"}',
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

-- Ids begin with the time, so what ended long ago is among the first of them:
-- no index needs to be written at each end. A round goes from the first id to
-- the last that may be old enough, some steps in each call, and then begins
-- anew; what must stay longer is passed once in a round.
CREATE FUNCTION work_engine.old_roots(most integer, older interval)
RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    none CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    steps_max CONSTANT integer := 10;
    step_rows CONSTANT integer := 10000;
    keep CONSTANT interval := least(older, (SELECT min(t.keep_for) FROM work.job_types AS t));
    young CONSTANT uuid := work_engine.first_id(clock_timestamp() - keep);
    -- Ids that no clock of ours gave: rows that came from elsewhere.
    strange CONSTANT uuid := work_engine.first_id(clock_timestamp() + interval '1 day');
    point uuid;
    mine boolean;
    last uuid;
    part uuid[];
    roots uuid[] := '{}';
BEGIN
    -- Whom two nodes ask at once begins at the beginning and finds what is left.
    SELECT b.reached INTO point FROM work_engine.broom AS b FOR UPDATE SKIP LOCKED;
    mine := FOUND;
    point := coalesce(point, none);
    FOR step IN 1..steps_max LOOP
        IF point >= young AND point < strange THEN
            point := strange;
        END IF;
        SELECT array_agg(c.id ORDER BY c.id) FILTER (WHERE c.old), max(c.id::text COLLATE "C")::uuid INTO part, last
        FROM (
            SELECT j.id, j.parent_id IS NULL AND j.finished_at < clock_timestamp() - coalesce(t.keep_for, older) AS old
            FROM (
                SELECT j.id, j.parent_id, j.finished_at, j.type FROM work.jobs AS j
                WHERE j.id > point AND (point >= strange OR j.id < young)
                ORDER BY j.id LIMIT step_rows
            ) AS j LEFT JOIN work.job_types AS t ON t.name = j.type
        ) AS c;
        part := part[1 : most - cardinality(roots)];
        roots := roots || coalesce(part, '{}');
        IF cardinality(roots) >= most THEN
            point := roots[most];
            EXIT;
        ELSIF last IS NOT NULL THEN
            point := last;
        ELSIF point >= strange THEN
            point := none;
            EXIT;
        ELSE
            point := strange;
        END IF;
    END LOOP;
    IF mine THEN
        UPDATE work_engine.broom AS b SET reached = point WHERE b.reached <> point;
    END IF;
    SELECT array_agg(j.id) INTO roots
    FROM (SELECT j.id FROM work.jobs AS j WHERE j.id = ANY (roots) ORDER BY j.finished_at FOR UPDATE SKIP LOCKED) AS j;
    RETURN roots;
END;
$$;
COMMENT ON FUNCTION work_engine.old_roots(integer, interval) IS 'Locks and returns roots that ended so long ago, or as long as their type says.';

CREATE FUNCTION work_engine.first_id(moment timestamptz)
RETURNS uuid
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (lpad(to_hex(greatest(0, (extract(epoch FROM moment) * 1000)::bigint)), 12, '0') || '00000000000000000000')::uuid
$$;
COMMENT ON FUNCTION work_engine.first_id(timestamptz) IS 'Below every id that was given from then on.';

CREATE OR REPLACE FUNCTION work_engine.prune(most integer, older interval)
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
    roots := work_engine.old_roots(prune.most, prune.older);
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

CREATE FUNCTION work_engine.check_hot()
RETURNS TABLE (problem text, id uuid)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, so one snapshot.
    WITH held AS (
        SELECT u.id, min(h.look_at) AS look_at FROM work_engine.holds AS h CROSS JOIN LATERAL unnest(h.jobs) AS u (id) GROUP BY u.id
    )
    SELECT 'can start and is not in line', j.id
    FROM work.jobs AS j
    WHERE j.state = 'queued' AND j.waiting_on IS NULL AND NOT EXISTS (
        SELECT FROM work_engine.line AS l
        WHERE l.job_id = j.id AND l.queue = j.queue AND l.priority = j.priority AND l.sort_key = j.sort_key AND l.type = j.type
          AND l.owner IS NOT DISTINCT FROM j.owner)
    UNION ALL
    SELECT 'in line and cannot start', l.job_id
    FROM work_engine.line AS l
    WHERE NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = l.job_id AND j.state = 'queued' AND j.waiting_on IS NULL)
    UNION ALL
    SELECT 'in line twice', l.job_id FROM work_engine.line AS l GROUP BY l.job_id HAVING count(*) > 1
    UNION ALL
    SELECT 'nobody looks after its lease', j.id
    FROM work.jobs AS j LEFT JOIN held AS h ON h.id = j.id
    WHERE j.lease_until IS NOT NULL AND (h.id IS NULL OR h.look_at > j.lease_until)
$$;
COMMENT ON FUNCTION work_engine.check_hot() IS 'What is wrong with the line and with what is held; nothing, if all is well.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
