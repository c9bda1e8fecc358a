-- Why: jobs come in here, one or ten thousand in a call, as trees and graphs.
-- Lock impact: creates types and functions only; no existing relation is locked.

-- What a specification says, with the type's defaults filled in.
CREATE TYPE work_engine.spec AS (
    ord integer, ref text, parent_ref text, depends_on jsonb, need text, budget jsonb, width integer,
    type text, name text, queue text, is_group boolean, run_at timestamptz, deadline_at timestamptz,
    on_child_failure text, max_attempts integer, backoff_base interval, backoff_max interval, time_limit interval,
    input jsonb, weight real, cost real, limit_keys text[], labels jsonb, idempotency_key text, schedule_id uuid,
    -- What it says for itself, and what its type says, of what is inherited.
    priority integer, type_priority integer, tells boolean, type_tells boolean);
-- Where a job stands in its tree, and whether it is there already.
CREATE TYPE work_engine.place AS (
    ord integer, ref text, id uuid, parent_id uuid, root_id uuid, depth integer, owner text, session_id uuid,
    priority integer, tells boolean, width_key text, width integer,
    -- The job that this one turns out to be, and whether nothing is to be inserted.
    old uuid, skip boolean);

CREATE FUNCTION work_engine.submit(jobs jsonb)
RETURNS TABLE (ordinal integer, id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(submit.jobs) = 'array' AND jsonb_array_length(submit.jobs) BETWEEN 1 AND 10000
        AND work_engine.is_plain(submit.jobs)
    THEN
        RETURN QUERY SELECT * FROM work_engine.submit_plain(submit.jobs);
    ELSE
        RETURN QUERY SELECT * FROM work_engine.submit_under(submit.jobs, NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.submit(jsonb) IS
    'Takes an array of job specifications in one transaction; answers in their order. All of it or an error.';

CREATE FUNCTION work_engine.spawn(parent uuid, epoch integer, jobs jsonb)
RETURNS TABLE (ordinal integer, id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- With the row locked it can neither end nor be cancelled until we commit:
    -- whoever cancels it later sees these children.
    PERFORM FROM work.jobs AS j
    WHERE j.id = spawn.parent AND j.epoch = spawn.epoch AND j.state = 'running' AND j.waiting_on IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(409, 'stale', 'The job is no longer this worker''s.');
    END IF;
    RETURN QUERY SELECT * FROM work_engine.submit_under(spawn.jobs, spawn.parent);
END;
$$;
COMMENT ON FUNCTION work_engine.spawn(uuid, integer, jsonb) IS
    'submit, as children of a job that the caller runs. A child that is there already, by name, is that child.';

CREATE FUNCTION work_engine.submit_plain(jobs jsonb)
RETURNS TABLE (ordinal integer, id uuid, is_new boolean, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- One plan for all: a list is a list, and everything else is an index away.
SET plan_cache_mode = force_generic_plan
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    -- As in read_places: ids have the order of the submission.
    ms CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    made uuid[];
    told uuid[];
    streams uuid[];
BEGIN
    WITH given AS MATERIALIZED (
        SELECT s.*, coalesce(s.queue, t.queue, 'default') AS line,
               coalesce(s.owner, CASE WHEN s.session_id IS NOT NULL THEN
                   (SELECT e.owner FROM work.sessions AS e WHERE e.id = s.session_id) END) AS whose,
               (lpad(to_hex(ms + (s.ordinality >> 12)), 12, '0') || '7' || lpad(to_hex(s.ordinality & 4095), 3, '0')
                   || substr(gen_random_uuid()::text, 19))::uuid AS id,
               greatest(s.run_at, clock_timestamp() + s.delay_ms * interval '1 millisecond') AS not_before,
               coalesce(s.priority, t.priority, 0) AS rank, coalesce(s.events, t.events, true) AS tells,
               coalesce(s.max_attempts, t.max_attempts, 3) AS attempts,
               coalesce(s.backoff_ms * interval '1 millisecond', t.backoff_base) AS backoff_base,
               coalesce(s.backoff_max_ms * interval '1 millisecond', t.backoff_max) AS backoff_max,
               coalesce(s.time_limit_ms * interval '1 millisecond', t.time_limit) AS time_limit
        FROM ROWS FROM (jsonb_to_recordset(jobs) AS (
            type text, name text, queue text, priority integer, input jsonb, owner text, session_id uuid, delay_ms bigint,
            run_at timestamptz, deadline_ms bigint, time_limit_ms bigint, max_attempts integer, backoff_ms bigint,
            backoff_max_ms bigint, weight real, cost real, on_child_failure text, labels jsonb, events boolean, schedule_id uuid
        )) WITH ORDINALITY AS s
        LEFT JOIN work.job_types AS t ON t.name = s.type
    ),
    gated AS (
        SELECT g.*, CASE WHEN g.not_before > clock_timestamp() THEN 'time' END AS gate FROM given AS g
    ),
    lines AS MATERIALIZED (
        SELECT q.line, q.whose, work_engine.head(q.line) AS head, work_engine.last_turn(q.line, q.whose) AS last,
               coalesce(s.weight, 1) AS share
        FROM (SELECT DISTINCT g.line, g.whose FROM given AS g WHERE g.whose IS NOT NULL) AS q
        LEFT JOIN work.shares AS s ON s.owner = q.whose
    ),
    made AS (
        INSERT INTO work.jobs (
            id, root_id, owner, session_id, stream_id, type, name, queue, state, waiting_on, priority, sort_key, run_at, deadline_at,
            on_child_failure, max_attempts, backoff_base, backoff_max, time_limit, input, weight, cost_estimate, labels, schedule_id)
        SELECT g.id, g.id, g.whose, g.session_id, CASE WHEN g.tells THEN coalesce(g.session_id, g.id) END, g.type, g.name, g.line,
               'queued', g.gate, g.rank,
               -- Who has no owner, and what is for later, stands by the clock.
               CASE WHEN l.line IS NULL OR g.gate IS NOT NULL THEN extract(epoch FROM clock_timestamp())::double precision
                    ELSE greatest(l.head, l.last + first_value(coalesce(g.cost, 1) / l.share) OVER turn)
                        + sum(coalesce(g.cost, 1) / l.share) OVER turn - first_value(coalesce(g.cost, 1) / l.share) OVER turn END,
               g.not_before, clock_timestamp() + g.deadline_ms * interval '1 millisecond',
               coalesce(g.on_child_failure, 'fail'), g.attempts, g.backoff_base, g.backoff_max, g.time_limit, g.input,
               coalesce(g.weight, 1), coalesce(g.cost, 1), g.labels, g.schedule_id
        FROM gated AS g LEFT JOIN lines AS l ON l.line = g.line AND l.whose = g.whose
        WINDOW turn AS (PARTITION BY g.line, g.whose, g.gate ORDER BY g.ordinality)
        RETURNING id, owner, stream_id
    ),
    -- A stream of its own is new, and its first event is this one.
    opened AS (
        INSERT INTO work.streams (id, owner, last_seq)
        SELECT m.id, m.owner, 1 FROM made AS m WHERE m.stream_id = m.id
        RETURNING id
    ),
    begun AS (
        INSERT INTO work.events (stream_id, seq, job_id, kind) SELECT o.id, 1, o.id, 'job.queued' FROM opened AS o
    )
    SELECT array_agg(m.id ORDER BY m.id), array_agg(m.id ORDER BY m.id) FILTER (WHERE m.stream_id <> m.id)
    INTO made, told FROM made AS m;
    IF told IS NOT NULL THEN
        PERFORM work_engine.tell_queued(told);
    END IF;
    RETURN QUERY SELECT m.n::integer, m.id, true, 'queued'::text FROM unnest(made) WITH ORDINALITY AS m (id, n);
END;
$$;
COMMENT ON FUNCTION work_engine.submit_plain(jsonb) IS
    'submit for jobs that hang on nothing and share nothing: the same rows in one statement.';

CREATE FUNCTION work_engine.is_plain(jobs jsonb)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whatever must be looked at twice, or refused, is none of it.
    RETURN NOT EXISTS (
        SELECT FROM jsonb_array_elements(jobs) AS s (spec)
        WHERE s.spec ->> 'type' IS NULL
           OR s.spec ?| ARRAY['ref', 'parent_ref', 'parent_id', 'group', 'depends_on', 'need', 'limit_keys', 'width',
                              'idempotency_key', 'unique', 'budget']
           OR EXISTS (SELECT FROM work.job_types AS t WHERE t.limit_keys <> '{}')
              AND EXISTS (SELECT FROM work.job_types AS t WHERE t.name = s.spec ->> 'type' AND t.limit_keys <> '{}')
           OR s.spec ->> 'session_id' IS NOT NULL AND NOT EXISTS (
                SELECT FROM work.sessions AS e
                WHERE e.id = (s.spec ->> 'session_id')::uuid AND (s.spec ->> 'owner' IS NULL OR e.owner = s.spec ->> 'owner')));
END;
$$;
COMMENT ON FUNCTION work_engine.is_plain(jsonb) IS 'Whether a submission is one for submit_plain.';

CREATE FUNCTION work_engine.read_specs(jobs jsonb)
RETURNS work_engine.spec[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT array_agg(ROW (
            s.ordinality, s.ref, s.parent_ref, s.depends_on, s.need, s.budget, s.width,
            coalesce(s.type, CASE WHEN s."group" THEN 'group' END), s.name, coalesce(s.queue, t.queue, 'default'),
            coalesce(s."group", false),
            greatest(s.run_at, clock_timestamp() + s.delay_ms * interval '1 millisecond'),
            clock_timestamp() + s.deadline_ms * interval '1 millisecond',
            coalesce(s.on_child_failure, 'fail'), coalesce(s.max_attempts, t.max_attempts, 3),
            coalesce(s.backoff_ms * interval '1 millisecond', t.backoff_base),
            coalesce(s.backoff_max_ms * interval '1 millisecond', t.backoff_max),
            coalesce(s.time_limit_ms * interval '1 millisecond', t.time_limit),
            s.input, coalesce(s.weight, 1), coalesce(s.cost, 1), coalesce(s.limit_keys, nullif(t.limit_keys, '{}')), s.labels,
            coalesce(s.idempotency_key, 'u:' || (s."unique" ->> 'key') || ':'
                || floor(extract(epoch FROM clock_timestamp()) * 1000 / (s."unique" ->> 'within_ms')::numeric)::text),
            s.schedule_id, s.priority, t.priority, s.events, coalesce(t.events, true)
        )::work_engine.spec ORDER BY s.ordinality)
        FROM ROWS FROM (jsonb_to_recordset(jobs) AS (
            ref text, parent_ref text, parent_id uuid, type text, name text, queue text, priority integer, input jsonb,
            owner text, session_id uuid, "group" boolean, depends_on jsonb, need text, delay_ms bigint, run_at timestamptz,
            deadline_ms bigint, time_limit_ms bigint, max_attempts integer, backoff_ms bigint, backoff_max_ms bigint,
            limit_keys text[], width integer, weight real, cost real, idempotency_key text, "unique" jsonb,
            on_child_failure text, labels jsonb, events boolean, budget jsonb, schedule_id uuid
        )) WITH ORDINALITY AS s
        LEFT JOIN work.job_types AS t ON t.name = s.type
    );
END;
$$;
COMMENT ON FUNCTION work_engine.read_specs(jsonb) IS 'Specifications as they were sent, with the defaults of their types.';

CREATE FUNCTION work_engine.read_places(jobs jsonb, specs work_engine.spec[], under uuid)
RETURNS work_engine.place[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    depth_max CONSTANT integer := 16;
    -- 48 bits of time; the next twelve count, so that ids have the order of
    -- the submission.
    ms CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    places work_engine.place[];
BEGIN
    SELECT array_agg(ROW (
        s.ord, s.ref,
        (lpad(to_hex(ms + (s.ord >> 12)), 12, '0') || '7' || lpad(to_hex(s.ord & 4095), 3, '0')
            || substr(gen_random_uuid()::text, 19))::uuid,
        p.id, p.root_id, coalesce(p.depth + 1, 0), coalesce(g.owner, p.owner, e.owner), coalesce(p.session_id, g.session_id),
        CASE WHEN s.parent_ref IS NULL THEN coalesce(s.priority, p.priority, s.type_priority, 0) ELSE s.priority END,
        coalesce(s.tells, (p.id IS NULL OR p.stream_id IS NOT NULL) AND s.type_tells),
        CASE WHEN p.id IS NOT NULL THEN (SELECT l.key FROM work.limits AS l WHERE l.key = 'width:' || p.id) END, s.width,
        NULL, false)::work_engine.place ORDER BY s.ord)
    INTO places
    FROM unnest(specs) AS s
    JOIN ROWS FROM (jsonb_to_recordset(jobs) AS (parent_id uuid, owner text, session_id uuid)) WITH ORDINALITY AS g
        ON g.ordinality = s.ord
    LEFT JOIN work.jobs AS p ON p.id = coalesce(g.parent_id, CASE WHEN s.parent_ref IS NULL THEN under END)
    LEFT JOIN work.sessions AS e ON e.id = g.session_id;
    IF EXISTS (SELECT FROM unnest(specs) AS s WHERE s.parent_ref IS NOT NULL) THEN
        places := work_engine.grow(specs, places);
    END IF;
    IF jobs @? '$[*].session_id' AND EXISTS (
        SELECT FROM unnest(places) AS p LEFT JOIN work.sessions AS e ON e.id = p.session_id
        WHERE p.session_id IS NOT NULL AND (e.id IS NULL OR p.owner IS NOT NULL AND e.owner IS DISTINCT FROM p.owner))
    THEN
        PERFORM work_engine.refuse(404, 'not_found', 'There is no such session.');
    END IF;
    IF EXISTS (SELECT FROM unnest(places) AS p WHERE p.depth > depth_max) THEN
        PERFORM work_engine.refuse(400, 'over_limit', format('Trees are at most %s levels deep.', depth_max));
    END IF;
    RETURN places;
END;
$$;
COMMENT ON FUNCTION work_engine.read_places(jsonb, work_engine.spec[], uuid) IS
    'Ids for a submission''s jobs, and what each inherits from its parent.';

CREATE FUNCTION work_engine.grow(specs work_engine.spec[], places work_engine.place[])
RETURNS work_engine.place[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grown work_engine.place[];
BEGIN
    WITH RECURSIVE d AS MATERIALIZED (
        SELECT p.*, s.parent_ref, s.tells AS says, s.type_tells
        FROM unnest(places) AS p JOIN unnest(specs) AS s ON s.ord = p.ord
    ),
    tree AS (
        SELECT d.ord, d.ref, d.id, d.parent_id, coalesce(d.root_id, d.id) AS root_id, d.depth, d.owner, d.session_id,
               d.priority, d.tells, d.width_key, d.width
        FROM d WHERE d.parent_ref IS NULL
        UNION ALL
        SELECT d.ord, d.ref, d.id, t.id, t.root_id, t.depth + 1,
               -- What a child says of its owner must be what its parent says.
               CASE WHEN d.owner IS NULL OR d.owner = t.owner THEN t.owner ELSE work_engine.other_owner() END,
               t.session_id, coalesce(d.priority, t.priority), coalesce(d.says, t.tells AND d.type_tells),
               CASE WHEN t.width IS NOT NULL THEN 'width:' || t.id END, d.width
        FROM tree AS t JOIN d ON d.parent_ref = t.ref
        WHERE t.depth <= 16
    )
    SELECT array_agg(ROW (t.ord, t.ref, t.id, t.parent_id, t.root_id, t.depth, t.owner, t.session_id, t.priority, t.tells,
                          t.width_key, t.width, NULL, false)::work_engine.place ORDER BY t.ord)
    INTO grown FROM tree AS t;
    IF cardinality(grown) = cardinality(places) OR EXISTS (SELECT FROM unnest(grown) AS g WHERE g.depth > 16) THEN
        RETURN grown;
    END IF;
    IF EXISTS (SELECT FROM unnest(specs) AS s
               WHERE s.parent_ref IS NOT NULL AND s.parent_ref NOT IN (SELECT r.ref FROM unnest(specs) AS r WHERE r.ref IS NOT NULL)) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'A parent_ref names no job of this submission.');
    END IF;
    PERFORM work_engine.refuse(400, 'cycle', 'A job is its own ancestor.');
END;
$$;
COMMENT ON FUNCTION work_engine.grow(work_engine.spec[], work_engine.place[]) IS 'Lets children of the same submission inherit, level by level.';

CREATE FUNCTION work_engine.other_owner()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.refuse(404, 'not_found', 'There is no such parent.');
END;
$$;

CREATE FUNCTION work_engine.check_specs(jobs jsonb, specs work_engine.spec[], under uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong text;
BEGIN
    SELECT CASE
        WHEN s.type IS NULL THEN format('Job %s has no type.', s.ord)
        WHEN s.is_group AND jsonb_array_length(coalesce(s.depends_on, '[]')) > 0 THEN
            format('Job %s is a group, and groups have no dependencies.', s.ord)
        WHEN s.need NOT IN ('all', 'any') AND (s.need !~ '^[0-9]{1,5}$' OR s.need::integer NOT BETWEEN 1 AND
                jsonb_array_length(coalesce(s.depends_on, '[]'))) THEN
            format('Job %s needs "all", "any", or a number of its dependencies.', s.ord)
        WHEN s.width < 1 THEN format('Job %s has a width below 1.', s.ord)
        WHEN s.parent_ref IS NOT NULL AND (jobs -> (s.ord - 1)) ? 'parent_id' THEN
            format('Job %s has two parents.', s.ord)
        WHEN cardinality(s.limit_keys) > 8 THEN format('Job %s has more than 8 limit keys.', s.ord)
        END
    INTO wrong
    FROM unnest(specs) AS s
    WHERE s.type IS NULL OR s.is_group OR s.need IS NOT NULL OR s.width IS NOT NULL OR s.parent_ref IS NOT NULL
       OR s.limit_keys IS NOT NULL
    ORDER BY 1 NULLS LAST LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM work_engine.refuse(400, 'invalid', wrong);
    END IF;
    IF EXISTS (SELECT FROM unnest(specs) AS s WHERE s.ref IS NOT NULL GROUP BY s.ref HAVING count(*) > 1) THEN
        PERFORM work_engine.refuse(400, 'invalid', 'Two jobs of the submission have the same ref.');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.check_specs(jsonb, work_engine.spec[], uuid) IS 'What can be wrong with specifications by themselves.';

CREATE FUNCTION work_engine.hold_targets(jobs jsonb, under uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids uuid[];
    held work.jobs[];
    own text;
BEGIN
    SELECT array_agg(DISTINCT i.id) INTO ids
    FROM (
        SELECT (s.spec ->> 'parent_id')::uuid FROM jsonb_array_elements(jobs) AS s (spec)
        UNION ALL
        SELECT (d.dep ->> 'id')::uuid
        FROM jsonb_array_elements(jobs) AS s (spec)
        CROSS JOIN jsonb_array_elements(CASE WHEN jsonb_typeof(s.spec -> 'depends_on') = 'array' THEN s.spec -> 'depends_on' END) AS d (dep)
        UNION ALL
        SELECT under
    ) AS i (id) WHERE i.id IS NOT NULL;
    PERFORM FROM work.jobs AS j WHERE j.id = ANY (ids) ORDER BY j.id FOR NO KEY UPDATE;
    SELECT array_agg(j) INTO held FROM work.jobs AS j WHERE j.id = ANY (ids);
    IF cardinality(ids) <> coalesce(cardinality(held), 0) THEN
        PERFORM work_engine.refuse(404, 'not_found', 'A job that is named as parent or dependency does not exist.');
    END IF;
    -- Of others' jobs nobody learns more than that they are not there.
    SELECT h.owner INTO own FROM unnest(held) AS h WHERE h.id = under;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(jobs) AS s (spec) JOIN unnest(held) AS h
            ON h.id = coalesce((s.spec ->> 'parent_id')::uuid, CASE WHEN NOT s.spec ? 'parent_ref' THEN under END)
        WHERE s.spec ->> 'owner' IS NOT NULL AND h.owner IS DISTINCT FROM s.spec ->> 'owner'
           OR under IS NOT NULL AND h.owner IS DISTINCT FROM own)
    THEN
        PERFORM work_engine.refuse(404, 'not_found', 'A job that is named as parent or dependency does not exist.');
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(jobs) AS s (spec) JOIN unnest(held) AS h
            ON h.id = coalesce((s.spec ->> 'parent_id')::uuid, CASE WHEN NOT s.spec ? 'parent_ref' THEN under END)
        WHERE h.state NOT IN ('queued', 'running', 'paused'))
    THEN
        PERFORM work_engine.refuse(409, 'conflict', 'The parent is over.');
    END IF;
END;
$$;
COMMENT ON FUNCTION work_engine.hold_targets(jsonb, uuid) IS
    'Locks the existing jobs that a submission hangs on, by id: until it commits they can neither end nor go.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
