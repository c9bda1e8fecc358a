-- Why: so many at once, so many in a time, and not before a provider says so.
-- A job names keys; it can be claimed once every one of them has room, and
-- holds a slot of each until it leaves `running` in whatever way. Who frees a
-- slot grants it on; the duty `grant_limits` finds what was missed.
-- A job that must wait is parked under the one key that stopped it, in order:
-- whoever has room on a key reads as many rows as there is room, however many
-- wait for other keys.
-- Nothing here waits for a lock: a limit that somebody else is granting is
-- left to them. So it may be called while jobs are locked.
-- Lock impact: adds a column without a default and replaces one index on
-- work.jobs, which nobody has filled yet.

ALTER TABLE work.jobs
    -- The key that stopped it the last time; null before it was tried.
    ADD COLUMN limited_by text;
DROP INDEX work.jobs_limited;
CREATE INDEX jobs_limited ON work.jobs ((coalesce(limited_by, limit_keys[1])), priority DESC, sort_key, id)
    WHERE state = 'queued' AND waiting_on = 'limit';

-- How many more may start under this key: null for no limit, 0 also while
-- somebody else grants it. Holds the limit's row from then on, with its bucket filled.
CREATE FUNCTION work_engine.room_of(key text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l work.limits;
    room double precision;
    moment timestamptz;
BEGIN
    SELECT t.* INTO l FROM work.limits AS t WHERE t.key = room_of.key FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM work.limits AS t WHERE t.key = room_of.key) THEN 0 END;
    END IF;
    moment := clock_timestamp();
    IF l.paused_until > moment THEN
        RETURN 0;
    END IF;
    IF l.max_running IS NOT NULL THEN
        -- A statement of its own, after the lock: it sees every slot that was given under it.
        SELECT l.max_running - count(*) INTO room FROM work_engine.slots AS s WHERE s.key = room_of.key;
    END IF;
    IF l.rate IS NOT NULL THEN
        l.burst := greatest(coalesce(l.burst, l.rate), 1);
        l.tokens := least(l.burst, coalesce(
            l.tokens + l.rate * greatest(extract(epoch FROM moment - l.refilled_at), 0) / extract(epoch FROM l.rate_period), l.burst));
        UPDATE work.limits AS t SET tokens = l.tokens, refilled_at = moment WHERE t.key = room_of.key;
        room := least(room, floor(l.tokens));
    END IF;
    RETURN CASE WHEN room IS NULL AND l.max_running IS NULL AND l.rate IS NULL THEN NULL
        ELSE greatest(least(room, 2147483647), 0)::integer END;
END;
$$;
COMMENT ON FUNCTION work_engine.room_of(text) IS 'How many more may start under a limit key; null for as many as like.';

-- Lets jobs that wait for these keys start, as far as there is room. Returns how many.
CREATE FUNCTION work_engine.grant_up_to(keys text[], most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- {key: room}, of every limit that was looked at and is held now.
    rooms jsonb := '{}';
    lead text;
    k text;
    stop text;
    j record;
    granted uuid[] := '{}';
    looked integer;
BEGIN
    FOR lead IN SELECT DISTINCT u.key FROM unnest(keys) AS u (key) ORDER BY 1 LOOP
        LOOP
            looked := 0;
            EXIT WHEN cardinality(granted) >= most;
            -- Nobody waits under most keys: then their limit is not touched.
            EXIT WHEN NOT EXISTS (
                SELECT FROM work.jobs AS t
                WHERE t.state = 'queued' AND t.waiting_on = 'limit' AND coalesce(t.limited_by, t.limit_keys[1]) = lead);
            IF NOT rooms ? lead THEN
                rooms := rooms || jsonb_build_object(lead, work_engine.room_of(lead));
            END IF;
            EXIT WHEN (rooms ->> lead)::integer <= 0;
            FOR j IN
                SELECT t.id, t.limit_keys FROM work.jobs AS t
                WHERE t.state = 'queued' AND t.waiting_on = 'limit' AND coalesce(t.limited_by, t.limit_keys[1]) = lead
                ORDER BY t.priority DESC, t.sort_key, t.id
                LIMIT least((rooms ->> lead)::integer, most - cardinality(granted))
                FOR NO KEY UPDATE SKIP LOCKED
            LOOP
                looked := looked + 1;
                stop := NULL;
                FOREACH k IN ARRAY j.limit_keys LOOP
                    IF NOT rooms ? k THEN
                        rooms := rooms || jsonb_build_object(k, work_engine.room_of(k));
                    END IF;
                    IF (rooms ->> k)::integer <= 0 THEN
                        stop := k;
                        EXIT;
                    END IF;
                END LOOP;
                IF stop IS NOT NULL THEN
                    UPDATE work.jobs AS t SET limited_by = stop WHERE t.id = j.id;
                    CONTINUE;
                END IF;
                FOREACH k IN ARRAY j.limit_keys LOOP
                    IF jsonb_typeof(rooms -> k) = 'number' THEN
                        rooms := rooms || jsonb_build_object(k, (rooms ->> k)::integer - 1);
                    END IF;
                END LOOP;
                granted := granted || j.id;
                PERFORM work_engine.take_slots(j.id, j.limit_keys);
            END LOOP;
            EXIT WHEN looked = 0;
        END LOOP;
    END LOOP;
    RETURN cardinality(granted);
END;
$$;
COMMENT ON FUNCTION work_engine.grant_up_to(text[], integer) IS 'Lets jobs that wait for these limits start, as far as there is room.';

-- By those who submit, and by those who leave: a thousand at most, which bounds
-- their transaction; the duty goes on from there.
CREATE FUNCTION work_engine.grant(keys text[])
RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.grant_up_to(keys, 1000) $$;
COMMENT ON FUNCTION work_engine.grant(text[]) IS 'Lets jobs that wait for these limits start, as far as there is room.';

-- Every key gets its row, also one that nobody limits: whoever limits it later
-- finds the ones that run already counted.
CREATE FUNCTION work_engine.take_slots(job uuid, keys text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO work_engine.slots (key, job_id)
    SELECT DISTINCT k.key, take_slots.job FROM unnest(keys) AS k (key)
    ON CONFLICT DO NOTHING;
    UPDATE work.limits AS l SET tokens = l.tokens - 1 WHERE l.key = ANY (keys) AND l.rate IS NOT NULL;
    UPDATE work.jobs AS j SET waiting_on = NULL, limited_by = NULL, updated_at = clock_timestamp() WHERE j.id = take_slots.job;
END;
$$;

-- The duty: every key that somebody waits under is tried again. Found by
-- stepping from key to key in the index, whatever the number of jobs.
CREATE FUNCTION work_engine.grant_limits(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[];
BEGIN
    WITH RECURSIVE parked AS (
        (SELECT coalesce(j.limited_by, j.limit_keys[1]) AS key, 1 AS n FROM work.jobs AS j
         WHERE j.state = 'queued' AND j.waiting_on = 'limit'
         ORDER BY 1 LIMIT 1)
        UNION ALL
        SELECT (SELECT coalesce(j.limited_by, j.limit_keys[1]) FROM work.jobs AS j
                WHERE j.state = 'queued' AND j.waiting_on = 'limit' AND coalesce(j.limited_by, j.limit_keys[1]) > p.key
                ORDER BY 1 LIMIT 1), p.n + 1
        -- Ten thousand widths of maps at once are served a few hundred milliseconds apart.
        FROM parked AS p WHERE p.key IS NOT NULL AND p.n < 10000
    )
    SELECT array_agg(p.key) INTO keys
    FROM parked AS p
    LEFT JOIN work.limits AS l ON l.key = p.key
    WHERE p.key IS NOT NULL AND (l.paused_until IS NULL OR l.paused_until <= clock_timestamp())
      AND (l.max_running IS NULL OR l.max_running > (SELECT count(*) FROM work_engine.slots AS s WHERE s.key = p.key));
    RETURN CASE WHEN keys IS NULL THEN 0 ELSE work_engine.grant_up_to(keys, most) END;
END;
$$;
COMMENT ON FUNCTION work_engine.grant_limits(integer) IS 'Lets jobs start whose limits have room again: by time, or because nobody was there to grant.';

-- A provider said: not before. What runs goes on; nothing new starts under the
-- key. A later time wins, null ends the pause.
CREATE FUNCTION work_engine.pause_limit(key text, until timestamptz, reason text DEFAULT NULL)
RETURNS timestamptz
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO work.limits AS l (key, paused_until, reason) VALUES (pause_limit.key, pause_limit.until, left(pause_limit.reason, 1000))
    ON CONFLICT (key) DO UPDATE
        SET paused_until = CASE WHEN excluded.paused_until IS NULL THEN NULL ELSE greatest(l.paused_until, excluded.paused_until) END,
            reason = excluded.reason
    RETURNING l.paused_until
$$;
COMMENT ON FUNCTION work_engine.pause_limit(text, timestamptz, text) IS 'Lets nothing start under a limit key until then.';

-- The same by a worker, for a key of the job it has, and in milliseconds from
-- now: a worker's clock decides nothing. At most a day, since it holds for everybody.
CREATE FUNCTION work_engine.pause_limit_of(job uuid, epoch integer, key text, for_ms bigint, reason text DEFAULT NULL)
RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT work_engine.pause_limit(pause_limit_of.key,
        clock_timestamp() + make_interval(secs => least(greatest(for_ms, 0), 86400000) / 1000.0), pause_limit_of.reason) IS NOT NULL
    FROM work.jobs AS j
    WHERE j.id = pause_limit_of.job AND j.epoch = pause_limit_of.epoch AND j.state = 'running' AND j.waiting_on IS NULL
      AND pause_limit_of.key = ANY (j.limit_keys)
$$;

-- Limits that `submit` made for the children of a job that is no more.
CREATE FUNCTION work_engine.drop_widths(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped integer;
BEGIN
    DELETE FROM work.limits AS l
    WHERE l.key IN (
        SELECT w.key FROM work.limits AS w
        WHERE w.key ~ '^width:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
          AND NOT EXISTS (
              SELECT FROM work.jobs AS j
              WHERE j.id = CASE WHEN w.key ~ '^width:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substr(w.key, 7)::uuid END)
        LIMIT most
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
