-- Why: limits and schedules find what they wait for by the columns of 0041.
-- Lock impact: replaces functions only; no existing relation is locked.

CREATE OR REPLACE FUNCTION work_engine.grant_up_to(keys text[], most integer)
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
                WHERE t.parked_under = lead);
            IF NOT rooms ? lead THEN
                rooms := rooms || jsonb_build_object(lead, work_engine.room_of(lead));
            END IF;
            EXIT WHEN (rooms ->> lead)::integer <= 0;
            FOR j IN
                SELECT t.id, t.limit_keys FROM work.jobs AS t
                WHERE t.parked_under = lead
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

CREATE OR REPLACE FUNCTION work_engine.grant_limits(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[];
BEGIN
    WITH RECURSIVE parked AS (
        (SELECT j.parked_under AS key, 1 AS n FROM work.jobs AS j
         WHERE j.parked_under IS NOT NULL
         ORDER BY 1 LIMIT 1)
        UNION ALL
        SELECT (SELECT j.parked_under FROM work.jobs AS j WHERE j.parked_under > p.key
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

CREATE OR REPLACE FUNCTION work_engine.make_room(s work.schedules)
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
        WHERE j.open_schedule_id = s.id
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

CREATE OR REPLACE FUNCTION work_engine.submit_scheduled(s work.schedules, fire timestamptz)
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
        WHERE j.open_schedule_id = s.id
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
