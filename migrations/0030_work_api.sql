-- Why: clients submit and change jobs, and workers in any language run them,
-- through functions of schema `work` (`supabase.schema('work').rpc(…)`). Each
-- is a guard in front of the engine's function of that name: a user's jobs are
-- the user's own, whatever the call says; who may become `service_role` may do
-- everything. Nodes of the server hear of what was done by NOTIFY.
-- Lock impact: creates functions only; no existing relation is locked.

-- Whether the caller may act for everybody. The role is the one that the
-- request runs as, not the one that this function does.
CREATE FUNCTION work_engine.is_service()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE current_setting('role', true)
        WHEN 'service_role' THEN true
        -- A session of one's own, such as psql.
        WHEN 'none' THEN to_regrole('service_role') IS NOT NULL
            AND pg_has_role(session_user, to_regrole('service_role'), 'USAGE')
        ELSE false
    END
$$;
COMMENT ON FUNCTION work_engine.is_service() IS 'Whether the caller of an API function may act for every owner.';

-- Whose jobs the caller's are; null for whoever may act for everybody.
CREATE FUNCTION work_engine.asker()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := nullif(work.me(), '');
BEGIN
    IF work_engine.is_service() THEN
        RETURN NULL;
    ELSIF me IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PT403', MESSAGE = 'Jobs need a user''s token or a secret key', DETAIL = 'forbidden';
    END IF;
    RETURN me;
END;
$$;
COMMENT ON FUNCTION work_engine.asker() IS 'The owner that a caller of the API is bound to; null for all of them.';

-- Refuses whoever may not speak for this job; what is not the caller's is not there.
CREATE FUNCTION work_engine.guard(job uuid)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := work_engine.asker();
BEGIN
    IF NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = guard.job AND (me IS NULL OR j.owner = me)) THEN
        RAISE EXCEPTION USING ERRCODE = 'PT404', MESSAGE = 'There is no such job', DETAIL = 'not_found';
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.guard(uuid) IS 'Raises not_found unless the caller may speak for the job.';

-- Refuses what would let a user's job pass or hold up others': limits are shared
-- by all who name their key, a priority comes before everybody's turn, and a
-- cost below one shortens the wait for the next turn. A type may say the first
-- two for whoever submits it.
CREATE FUNCTION work_engine.modest(jobs jsonb)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked text;
BEGIN
    SELECT CASE
        WHEN t.service_only THEN format('Jobs of type "%s" are submitted with a secret key', t.name)
        WHEN CASE WHEN jsonb_typeof(e -> 'limit_keys') = 'array' THEN jsonb_array_length(e -> 'limit_keys') > 0 END
            THEN 'limit_keys are set with a secret key, or by the job''s type'
        WHEN CASE WHEN jsonb_typeof(e -> 'priority') = 'number' THEN (e ->> 'priority')::numeric > 0 END
            THEN 'A priority above 0 is set with a secret key, or by the job''s type'
        WHEN CASE WHEN jsonb_typeof(e -> 'cost') = 'number' THEN (e ->> 'cost')::numeric < 1 END
            THEN 'A cost below 1 is set with a secret key'
        END
    INTO asked
    FROM jsonb_array_elements(jobs) AS e LEFT JOIN work.job_types AS t ON t.name = e ->> 'type'
    ORDER BY 1 NULLS LAST LIMIT 1;
    IF asked IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PT403', MESSAGE = asked, DETAIL = 'forbidden';
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.modest(jsonb) IS 'Raises forbidden where a user''s submission asks for more than a user''s turn.';

-- Refuses a submission that names what is not the owner's: a session whose log
-- it would write into, a parent, a job to wait for. Waiting for a stranger's
-- job would tell how it ended.
CREATE FUNCTION work_engine.admissible(owner text, jobs jsonb)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(jobs) <> 'array' OR owner IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', MESSAGE = 'jobs is an array', DETAIL = 'invalid';
    END IF;
    PERFORM work_engine.modest(jobs);
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT e ->> 'session_id' AS id FROM jsonb_array_elements(jobs) AS e WHERE e ->> 'session_id' IS NOT NULL
        ) AS named
        LEFT JOIN work.sessions AS s ON s.id = named.id::uuid
        WHERE s.owner IS DISTINCT FROM admissible.owner
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'PT404', MESSAGE = 'There is no such session', DETAIL = 'not_found';
    END IF;
    IF EXISTS (
        SELECT FROM (
            SELECT e ->> 'parent_id' AS id FROM jsonb_array_elements(jobs) AS e WHERE e ->> 'parent_id' IS NOT NULL
            UNION
            SELECT d ->> 'id'
            FROM jsonb_array_elements(jobs) AS e
            CROSS JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(e -> 'depends_on') WHEN 'array' THEN e -> 'depends_on' ELSE '[]' END) AS d
            WHERE d ->> 'id' IS NOT NULL
        ) AS named
        LEFT JOIN work.jobs AS j ON j.id = named.id::uuid
        WHERE j.owner IS DISTINCT FROM admissible.owner
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'PT404', MESSAGE = 'There is no such job', DETAIL = 'not_found';
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.admissible(text, jsonb) IS 'Raises not_found where a submission names somebody else''s rows.';

-- Tells the server's nodes, at commit. More than fits is "look at everything".
CREATE FUNCTION work_engine.announce(queues text[], streams uuid[], jobs uuid[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    payload text;
BEGIN
    IF cardinality(streams) + cardinality(jobs) > 150 OR cardinality(queues) > 8 THEN
        payload := '{"all":true}';
    ELSE
        payload := jsonb_build_object('q', to_jsonb(queues), 's', to_jsonb(streams), 'c', to_jsonb(jobs))::text;
    END IF;
    IF octet_length(payload) > 7000 THEN
        payload := '{"all":true}';
    END IF;
    PERFORM pg_notify('ferrobase_work', payload);
END;
$$;
COMMENT ON FUNCTION work_engine.announce(text[], uuid[], uuid[]) IS 'Tells the nodes of queues, streams and changed jobs.';

-- What a user submits is the user's; the service may say whose it is.
CREATE FUNCTION work_engine.own_specs(jobs jsonb, me text)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(jobs) = 'object' THEN
        jobs := jsonb_build_array(jobs);
    END IF;
    IF jobs IS NULL OR jsonb_typeof(jobs) <> 'array'
        OR EXISTS (SELECT FROM jsonb_array_elements(jobs) AS e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', MESSAGE = 'jobs is a job or an array of jobs', DETAIL = 'invalid';
    END IF;
    IF me IS NULL THEN
        RETURN jobs;
    END IF;
    jobs := coalesce((
        SELECT jsonb_agg(e.job - 'schedule_id' || jsonb_build_object('owner', me) ORDER BY e.n)
        FROM jsonb_array_elements(jobs) WITH ORDINALITY AS e (job, n)), '[]');
    PERFORM work_engine.admissible(me, jobs);
    RETURN jobs;
END;
$$;
COMMENT ON FUNCTION work_engine.own_specs(jsonb, text) IS 'A submission as the caller may make it.';

CREATE FUNCTION work_engine.announce_made(made uuid[])
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT work_engine.announce(
        coalesce(array_agg(DISTINCT j.queue) FILTER (WHERE j.state = 'queued' AND j.waiting_on IS NULL), '{}'),
        coalesce(array_agg(DISTINCT j.stream_id) FILTER (WHERE j.stream_id IS NOT NULL), '{}'), '{}')
    FROM work.jobs AS j
    WHERE j.id = ANY (made)
$$;
COMMENT ON FUNCTION work_engine.announce_made(uuid[]) IS 'Tells the nodes of jobs that are new or ready again.';

CREATE FUNCTION work.submit(jobs jsonb)
RETURNS TABLE (id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    specs jsonb := work_engine.own_specs(submit.jobs, work_engine.asker());
    made uuid[] := '{}';
    s record;
BEGIN
    FOR s IN SELECT * FROM work_engine.submit(specs) AS t ORDER BY t.ordinal LOOP
        id := s.id;
        is_new := s.is_new;
        state := s.state;
        made := made || s.id;
        RETURN NEXT;
    END LOOP;
    PERFORM work_engine.announce_made(made);
END;
$$;
COMMENT ON FUNCTION work.submit(jsonb) IS 'Submits a job, or an array of jobs that may refer to one another, all or none.';

CREATE FUNCTION work.claim(
    worker text, queues text[] DEFAULT '{default}', types text[] DEFAULT NULL, slots integer DEFAULT 1,
    lease_ms integer DEFAULT 30000, code_version text DEFAULT NULL, owner text DEFAULT NULL)
RETURNS TABLE (
    id uuid, root_id uuid, parent_id uuid, session_id uuid, stream_id uuid, job_owner text, type text, name text,
    epoch integer, failures integer, input jsonb, queue text, lease bigint, steps jsonb)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    me text := work_engine.asker();
BEGIN
    -- A lease below two seconds ends on its way to the worker; one above an
    -- hour keeps a dead worker's jobs for too long.
    IF slots NOT BETWEEN 1 AND 1000 OR lease_ms NOT BETWEEN 2000 AND 3600000 OR char_length(worker) NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', DETAIL = 'invalid',
            MESSAGE = 'slots is 1 to 1000, lease_ms 2000 to 3600000, a worker''s name 1 to 100 characters';
    END IF;
    RETURN QUERY SELECT * FROM work_engine.claim(
        -- Users' workers cannot have the names of others'.
        CASE WHEN me IS NULL THEN worker ELSE left(me, 99) || '/' || worker END,
        queues, nullif(types, '{}'), coalesce(me, claim.owner), me IS NULL AND claim.owner IS NULL, slots,
        lease_ms * interval '1 millisecond', code_version);
END;
$$;
COMMENT ON FUNCTION work.claim(text, text[], text[], integer, integer, text, text) IS
    'Takes up to so many jobs for a worker, for as long as the lease lasts.';

CREATE FUNCTION work.heartbeat(worker text, jobs jsonb, lease_ms integer DEFAULT 30000)
RETURNS TABLE (id uuid, directive text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    me text := work_engine.asker();
    beats record;
BEGIN
    IF jsonb_typeof(jobs) <> 'array' OR jsonb_array_length(jobs) > 1000 OR lease_ms NOT BETWEEN 2000 AND 3600000 THEN
        RAISE EXCEPTION USING ERRCODE = 'PT400', DETAIL = 'invalid',
            MESSAGE = 'jobs is an array of at most 1000 {id, epoch, progress, message}, lease_ms 2000 to 3600000';
    END IF;
    SELECT array_agg(b.id ORDER BY b.id) AS ids, array_agg(b.epoch ORDER BY b.id) AS epochs,
        array_agg(b.progress ORDER BY b.id) AS progress, array_agg(left(b.message, 1000) ORDER BY b.id) AS messages
    INTO beats
    FROM jsonb_to_recordset(jobs) AS b (id uuid, epoch integer, progress real, message text)
    JOIN work.jobs AS j ON j.id = b.id AND (me IS NULL OR j.owner = me);
    RETURN QUERY SELECT h.id, h.directive FROM work_engine.heartbeat(
        CASE WHEN me IS NULL THEN worker ELSE left(me, 99) || '/' || worker END,
        coalesce(beats.ids, '{}'), coalesce(beats.epochs, '{}'), coalesce(beats.progress, '{}'),
        coalesce(beats.messages, '{}'), lease_ms * interval '1 millisecond') AS h;
END;
$$;
COMMENT ON FUNCTION work.heartbeat(text, jsonb, integer) IS 'Says that a worker lives, and hears which jobs it must stop.';

-- Ends one claim, for `finish` and `fail`.
CREATE FUNCTION work_engine.end_claim(
    job uuid, epoch integer, outcome text, output jsonb, error jsonb, retryable boolean, delay_ms bigint)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended text;
BEGIN
    PERFORM work_engine.guard(job);
    IF octet_length(output::text) > 1048576 OR octet_length(error::text) > 1048576 THEN
        RAISE EXCEPTION USING ERRCODE = 'PT413', DETAIL = 'over_limit',
            MESSAGE = 'An output takes at most 1 MiB; put what is larger into storage';
    END IF;
    SELECT f.state INTO ended FROM work_engine.finish(
        ARRAY[job], ARRAY[epoch], ARRAY[outcome], ARRAY[output], ARRAY[error], ARRAY[retryable],
        ARRAY[delay_ms * interval '1 millisecond']) AS f;
    IF ended IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PT409', MESSAGE = 'The job is no longer held by this claim', DETAIL = 'stale';
    END IF;
    -- What this may have released is in queues that nobody names here.
    PERFORM pg_notify('ferrobase_work', '{"all":true}');
    RETURN ended;
END;
$$;
COMMENT ON FUNCTION work_engine.end_claim(uuid, integer, text, jsonb, jsonb, boolean, bigint) IS 'finish, of one job that is the caller''s.';

CREATE FUNCTION work.finish(job uuid, epoch integer, output jsonb DEFAULT NULL)
RETURNS text
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.end_claim(job, epoch, 'completed', output, NULL, false, NULL) $$;
COMMENT ON FUNCTION work.finish(uuid, integer, jsonb) IS 'Completes a job that the caller''s worker holds.';

CREATE FUNCTION work.fail(
    job uuid, epoch integer, error jsonb DEFAULT '{"code": "failed"}', retryable boolean DEFAULT true, delay_ms bigint DEFAULT NULL)
RETURNS text
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.end_claim(job, epoch, 'failed', NULL, error, retryable, delay_ms) $$;
COMMENT ON FUNCTION work.fail(uuid, integer, jsonb, boolean, bigint) IS 'Says that a job that the caller''s worker holds has failed.';

CREATE FUNCTION work.release(job uuid, epoch integer)
RETURNS text
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.end_claim(job, epoch, 'released', NULL, NULL, true, NULL) $$;
COMMENT ON FUNCTION work.release(uuid, integer) IS 'Gives a job back that the caller''s worker holds.';

CREATE FUNCTION work.spawn(job uuid, epoch integer, jobs jsonb)
RETURNS TABLE (id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    specs jsonb;
    made uuid[] := '{}';
    s record;
BEGIN
    PERFORM work_engine.guard(job);
    specs := work_engine.own_specs(spawn.jobs, work_engine.asker());
    -- Children are their parent's owner's.
    SELECT jsonb_agg(e.spec - 'owner' ORDER BY e.n) INTO specs FROM jsonb_array_elements(specs) WITH ORDINALITY AS e (spec, n);
    FOR s IN SELECT * FROM work_engine.spawn(job, epoch, specs) AS t ORDER BY t.ordinal LOOP
        id := s.id;
        is_new := s.is_new;
        state := s.state;
        made := made || s.id;
        RETURN NEXT;
    END LOOP;
    PERFORM work_engine.announce_made(made);
END;
$$;
COMMENT ON FUNCTION work.spawn(uuid, integer, jsonb) IS 'Submits children of a job that the caller''s worker holds.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work, work_engine FROM PUBLIC;
SELECT work_engine.admit();
