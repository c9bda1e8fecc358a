-- Why: clients without the server's own address for streams write to their logs
-- through a function (`supabase.schema('work').rpc('append', …)`), which means
-- what `POST /sessions/v1/streams/{id}/events` means.
-- Lock impact: creates functions only.

-- Whether a user may say such a thing. What the engine tells (`job.completed`)
-- nobody else can; a worker, known by its producer's name, speaks for its job.
CREATE FUNCTION work_engine.may_say(kind text, producer text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT kind !~ '^(job|step|approval|budget)[.]'
        OR kind IN ('job.chunk', 'job.log', 'job.progress')
            AND EXISTS (SELECT FROM work_engine.fence_of(coalesce(producer, '')) AS f WHERE f.job IS NOT NULL)
$$;

-- `events` are objects with `kind` and `data`. A writer that may have to repeat
-- itself gives a producer's name and the number of its first event; told is the
-- number of its next.
CREATE FUNCTION work.append(stream uuid, events jsonb, producer text DEFAULT NULL, n bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_service CONSTANT boolean := coalesce(current_setting('role', true) = 'service_role', false);
    kinds text[];
    said jsonb[];
    next_n bigint;
BEGIN
    IF NOT is_service AND work.me() IS NULL THEN
        RAISE EXCEPTION 'this needs a user''s token or a secret key' USING ERRCODE = 'PT401', DETAIL = 'unauthorized';
    END IF;
    IF jsonb_typeof(events) IS DISTINCT FROM 'array' OR jsonb_array_length(events) NOT BETWEEN 1 AND 1000
        OR (producer IS NULL) <> (n IS NULL) OR n < 0 OR char_length(producer) NOT BETWEEN 1 AND 300 THEN
        RAISE EXCEPTION 'expected 1 to 1000 events, and a producer with its n or neither'
            USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    SELECT array_agg(e.one ->> 'kind' ORDER BY e.place), array_agg(coalesce(e.one -> 'data', '{}') ORDER BY e.place)
    INTO kinds, said
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (one, place);
    IF EXISTS (
        SELECT FROM unnest(kinds, said) AS e (kind, data)
        WHERE e.kind IS NULL OR e.kind !~ '^[A-Za-z0-9._:-]{1,100}$' OR octet_length(e.data::text) > 16384) THEN
        RAISE EXCEPTION 'a kind is 1 to 100 letters, digits, dots, colons, dashes and underscores, data at most 16 KiB'
            USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    IF NOT is_service AND EXISTS (SELECT FROM unnest(kinds) AS k (kind) WHERE NOT work_engine.may_say(k.kind, producer)) THEN
        RAISE EXCEPTION 'such an event is the engine''s to tell' USING ERRCODE = 'PT403', DETAIL = 'forbidden';
    END IF;
    next_n := work_engine.append_one(
        stream, CASE WHEN NOT is_service THEN work.me() END, producer, n, NULL, kinds, said);
    PERFORM pg_notify('ferrobase_work', json_build_object('s', json_build_array(stream))::text);
    RETURN next_n;
END;
$$;
COMMENT ON FUNCTION work.append(uuid, jsonb, text, bigint) IS
    'Appends events to a stream of one''s own; with a producer, each is kept once.';

REVOKE ALL ON FUNCTION work.append(uuid, jsonb, text, bigint) FROM PUBLIC;
SELECT ferrobase.attempt('appending for callers', 'streams cannot be written to by function', $$
    GRANT EXECUTE ON FUNCTION work.append(uuid, jsonb, text, bigint) TO authenticated, service_role
$$);
SELECT work_engine.admit();
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
