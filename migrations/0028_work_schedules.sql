-- Why: jobs at set times. What the times are is computed by the nodes, which
-- know cron and time zones; here is what makes one time fire once however many
-- nodes see it come: the schedule's row is changed only by who still finds the
-- time that it computed from, and each fire is a row of its own.
-- Lock impact: adds a column without a default, and a partial index on work.jobs.

ALTER TABLE work.schedules
    -- Why it does not fire, or why its last job could not be submitted.
    ADD COLUMN error text;
CREATE INDEX jobs_schedule ON work.jobs (schedule_id, id)
    WHERE schedule_id IS NOT NULL AND state IN ('queued', 'running', 'paused');
-- New or changed: some node has to compute when it is next.
CREATE INDEX schedules_new ON work.schedules (id) WHERE next_at IS NULL AND NOT paused AND error IS NULL;

-- Everything a schedule's fields must be, whoever writes them. A schedule's job
-- is a root of its own, with the schedule's owner: it names no other job.
CREATE FUNCTION work_engine.check_schedule(s work.schedules)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stray text;
BEGIN
    SELECT k.key INTO stray FROM jsonb_object_keys(CASE jsonb_typeof(s.job) WHEN 'object' THEN s.job ELSE '{}' END) AS k (key)
    WHERE k.key IN ('ref', 'parent_ref', 'parent_id', 'depends_on', 'need', 'owner', 'schedule_id', 'idempotency_key', 'unique', 'run_at')
    LIMIT 1;
    IF s.name IS NULL OR char_length(s.name) NOT BETWEEN 1 AND 200 THEN
        PERFORM work_engine.refuse(400, 'invalid', 'a schedule''s name has 1 to 200 characters');
    ELSIF s.cron IS NULL OR char_length(s.cron) > 200
        OR s.cron !~ '^(@[a-z]+|\S+( +\S+){4,5})$' THEN
        PERFORM work_engine.refuse(400, 'invalid', 'cron has five fields, or six with seconds first');
    ELSIF NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = s.time_zone) THEN
        PERFORM work_engine.refuse(400, 'invalid', format('there is no time zone "%s"', s.time_zone));
    ELSIF s.overlap IS NULL OR s.overlap NOT IN ('skip', 'queue', 'cancel') OR s.missed IS NULL OR s.missed NOT IN ('none', 'last', 'all') THEN
        PERFORM work_engine.refuse(400, 'invalid', 'overlap is skip, queue or cancel; missed is none, last or all');
    ELSIF s.job IS NULL OR jsonb_typeof(s.job) <> 'object' OR coalesce(jsonb_typeof(s.job -> 'type'), '') <> 'string' THEN
        PERFORM work_engine.refuse(400, 'invalid', 'job is a job''s fields, with its type');
    ELSIF octet_length(s.job::text) > 262144 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'a schedule''s job has at most 256 KiB');
    ELSIF stray IS NOT NULL THEN
        PERFORM work_engine.refuse(400, 'invalid', format('a schedule''s job has no "%s"', stray));
    ELSIF s.job ? 'session_id' AND s.owner IS NOT NULL AND NOT EXISTS (
        SELECT FROM work.sessions AS e WHERE e.id::text = s.job ->> 'session_id' AND e.owner = s.owner) THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such session');
    END IF;
END;
$$;

-- Makes one. `next_at` is known when a node checked the fields; else a node
-- computes it within a second.
CREATE FUNCTION work_engine.schedule_create(owner text, fields jsonb, next_at timestamptz DEFAULT NULL)
RETURNS work.schedules
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    s work.schedules;
BEGIN
    SELECT r.* INTO s FROM jsonb_populate_record(NULL::work.schedules, fields - ARRAY['id', 'owner', 'created_at', 'last_at', 'error']) AS r;
    s.id := work.uuid_v7();
    s.owner := schedule_create.owner;
    s.time_zone := coalesce(s.time_zone, 'UTC');
    s.overlap := coalesce(s.overlap, 'skip');
    s.missed := coalesce(s.missed, 'last');
    s.paused := coalesce(s.paused, false);
    s.next_at := CASE WHEN NOT s.paused THEN schedule_create.next_at END;
    s.created_at := clock_timestamp();
    PERFORM work_engine.check_schedule(s);
    -- Each costs every node a row a look; a thousand is an application's bug.
    IF s.owner IS NOT NULL AND (SELECT count(*) FROM work.schedules AS o WHERE o.owner = s.owner) >= 1000 THEN
        PERFORM work_engine.refuse(429, 'over_limit', 'there are 1000 schedules already');
    END IF;
    INSERT INTO work.schedules SELECT s.*;
    RETURN s;
EXCEPTION
    WHEN unique_violation THEN
        PERFORM work_engine.refuse(409, 'conflict', format('there is a schedule "%s"', fields ->> 'name'));
END;
$$;
COMMENT ON FUNCTION work_engine.schedule_create(text, jsonb, timestamptz) IS 'Makes a schedule of these fields.';

-- Changes the fields that are given. Whatever decides its times lets them be
-- computed anew, and so does the end of a pause: what would have fired
-- meanwhile was not missed.
CREATE FUNCTION work_engine.schedule_update(
    id uuid, owner text, any_owner boolean, fields jsonb, next_at timestamptz DEFAULT NULL
)
RETURNS work.schedules
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old work.schedules;
    s work.schedules;
BEGIN
    SELECT t.* INTO old FROM work.schedules AS t
    WHERE t.id = schedule_update.id AND (any_owner OR t.owner = schedule_update.owner) FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such schedule');
    END IF;
    SELECT r.* INTO s FROM jsonb_populate_record(old, fields - ARRAY['id', 'owner', 'created_at', 'last_at', 'next_at', 'error']) AS r;
    PERFORM work_engine.check_schedule(s);
    IF s.cron <> old.cron OR s.time_zone <> old.time_zone OR s.paused IS DISTINCT FROM old.paused THEN
        s.next_at := CASE WHEN NOT s.paused THEN schedule_update.next_at END;
    END IF;
    UPDATE work.schedules AS t
    SET name = s.name, cron = s.cron, time_zone = s.time_zone, job = s.job, overlap = s.overlap, missed = s.missed,
        paused = coalesce(s.paused, false), next_at = s.next_at, error = NULL
    WHERE t.id = s.id
    RETURNING t.* INTO s;
    RETURN s;
EXCEPTION
    WHEN unique_violation THEN
        PERFORM work_engine.refuse(409, 'conflict', format('there is a schedule "%s"', fields ->> 'name'));
END;
$$;
COMMENT ON FUNCTION work_engine.schedule_update(uuid, text, boolean, jsonb, timestamptz) IS 'Changes fields of a schedule.';

-- Its jobs stay as they are.
CREATE FUNCTION work_engine.schedule_delete(id uuid, owner text, any_owner boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM work.schedules AS s
    WHERE s.id = schedule_delete.id AND (any_owner OR s.owner = schedule_delete.owner);
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such schedule');
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION work_engine.schedule_delete(uuid, text, boolean) IS 'Removes a schedule.';

-- What a node has to compute: schedules that are due or new, and the time by
-- the one clock that counts.
CREATE FUNCTION work_engine.schedules_due(most integer)
RETURNS TABLE (id uuid, cron text, time_zone text, missed text, next_at timestamptz, moment timestamptz)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    (SELECT s.id, s.cron, s.time_zone, s.missed, s.next_at, clock_timestamp() FROM work.schedules AS s
     WHERE s.next_at IS NULL AND NOT s.paused AND s.error IS NULL
     LIMIT most)
    UNION ALL
    (SELECT s.id, s.cron, s.time_zone, s.missed, s.next_at, clock_timestamp() FROM work.schedules AS s
     WHERE s.next_at <= clock_timestamp() AND NOT s.paused
     ORDER BY s.next_at
     LIMIT most)
$$;

-- One schedule's turn, computed from `seen`: null when another node has done
-- it meanwhile, else how many jobs were submitted.
CREATE FUNCTION work_engine.schedule_fire(
    id uuid, seen timestamptz, fires timestamptz[], missed timestamptz[], next_at timestamptz, problem text DEFAULT NULL
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    s work.schedules;
    fire timestamptz;
    submitted integer := 0;
BEGIN
    SELECT t.* INTO s FROM work.schedules AS t
    WHERE t.id = schedule_fire.id AND NOT t.paused AND t.next_at IS NOT DISTINCT FROM seen
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    s.error := problem;
    INSERT INTO work.schedule_fires (schedule_id, fire_at, outcome)
    SELECT s.id, m.fire_at, 'missed' FROM unnest(schedule_fire.missed) AS m (fire_at)
    ON CONFLICT DO NOTHING;
    FOREACH fire IN ARRAY coalesce(fires, '{}') LOOP
        INSERT INTO work.schedule_fires (schedule_id, fire_at, outcome) VALUES (s.id, fire, 'skipped')
        ON CONFLICT DO NOTHING;
        IF NOT FOUND OR NOT work_engine.make_room(s) THEN
            CONTINUE;
        END IF;
        BEGIN
            PERFORM work_engine.submit_scheduled(s, fire);
            submitted := submitted + 1;
        EXCEPTION
            -- What is wrong with the job stays wrong; what is wrong with the moment does not.
            WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
                RAISE;
            WHEN OTHERS THEN
                s.error := left(sqlerrm, 1000);
                UPDATE work.schedule_fires AS f SET outcome = 'failed' WHERE f.schedule_id = s.id AND f.fire_at = fire;
        END;
    END LOOP;
    -- The last thousand tell enough.
    DELETE FROM work.schedule_fires AS f
    WHERE f.schedule_id = s.id AND f.fire_at < (
        SELECT o.fire_at FROM work.schedule_fires AS o WHERE o.schedule_id = s.id ORDER BY o.fire_at DESC OFFSET 1000 LIMIT 1);
    UPDATE work.schedules AS t
    SET next_at = schedule_fire.next_at, error = s.error,
        last_at = coalesce((SELECT max(f.at) FROM unnest(fires) AS f (at)), t.last_at)
    WHERE t.id = s.id;
    RETURN submitted;
END;
$$;
COMMENT ON FUNCTION work_engine.schedule_fire(uuid, timestamptz, timestamptz[], timestamptz[], timestamptz, text) IS
    'Fires a schedule at times that a node computed, unless another node has.';

-- Whether the schedule's next job may be submitted beside those at work; the
-- policy `cancel` ends them.
CREATE FUNCTION work_engine.make_room(s work.schedules)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    open uuid[];
    job uuid;
BEGIN
    SELECT array_agg(o.id) INTO open
    FROM (
        SELECT j.id FROM work.jobs AS j
        WHERE j.schedule_id = s.id AND j.state IN ('queued', 'running', 'paused')
        ORDER BY j.id
        -- A hundred in line: more would never be done.
        LIMIT 100
    ) AS o;
    IF open IS NULL THEN
        RETURN true;
    ELSIF s.overlap = 'queue' THEN
        RETURN cardinality(open) < 100;
    ELSIF s.overlap = 'skip' THEN
        RETURN false;
    END IF;
    FOREACH job IN ARRAY open LOOP
        PERFORM work_engine.cancel(job, 'the next of its schedule began');
    END LOOP;
    RETURN true;
END;
$$;

CREATE FUNCTION work_engine.submit_scheduled(s work.schedules, fire timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before uuid;
    spec jsonb;
    made uuid;
BEGIN
    IF s.overlap = 'queue' THEN
        -- One after the other, however the last one ends.
        SELECT j.id INTO before FROM work.jobs AS j
        WHERE j.schedule_id = s.id AND j.state IN ('queued', 'running', 'paused')
        ORDER BY j.id DESC
        LIMIT 1;
    END IF;
    spec := s.job || jsonb_strip_nulls(jsonb_build_object(
        'owner', s.owner, 'schedule_id', s.id,
        'idempotency_key', format('schedule:%s:%s', s.id, extract(epoch FROM fire)),
        'labels', CASE jsonb_typeof(s.job -> 'labels') WHEN 'object' THEN s.job -> 'labels' ELSE '{}' END
            || jsonb_build_object('schedule', s.name, 'fire_at', fire),
        'depends_on', CASE WHEN before IS NOT NULL THEN
            jsonb_build_array(jsonb_build_object('id', before, 'when', 'terminal')) END));
    SELECT j.id INTO made FROM work_engine.submit(jsonb_build_array(spec)) AS j;
    UPDATE work.schedule_fires AS f SET outcome = 'submitted', job_id = made
    WHERE f.schedule_id = s.id AND f.fire_at = submit_scheduled.fire;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
