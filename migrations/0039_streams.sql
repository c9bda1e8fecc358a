-- Why: writing to the event log from outside, many writers at once, each piece
-- kept once whatever is sent twice; reading it from any cursor; and an end for
-- logs whose owner is gone. 0014 has the tables.
-- Lock impact: an index on `work.events`, empty before this release; new
-- functions otherwise.

-- Old chunks are found by their time. Rows come in that order, so a summary of
-- each range of pages is enough, and costs an insert nearly nothing.
CREATE INDEX events_at ON work.events USING brin (at) WITH (autosummarize = on);

-- The claim that a producer's name stands for: `<job>:<epoch>:<channel>`.
CREATE FUNCTION work_engine.fence_of(producer text, OUT job uuid, OUT epoch integer)
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT split_part(producer, ':', 1)::uuid, split_part(producer, ':', 2)::integer
    WHERE producer ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,9}:'
$$;

-- Appends for many writers in one transaction. An entry is one writer's piece
-- for one stream; event i belongs to entry `entries[i]` (from 1), and the events
-- of entry e begin behind `starts[e]`. A writer that gives a producer and the
-- number of its first event has each of its events kept once. `owners[e]` is
-- whose the stream must be; null for a caller who may write to any.
--
-- One entry's problem is no other's: `not_found`, `stale` (the producer names a
-- claim that has lost its job), `gap` (events before these are missing),
-- `conflict` (two entries of one producer). `next_n` is what the producer sends
-- next; `left_over` says that events of these streams wait to be numbered.
CREATE FUNCTION work_engine.append_batch(
    streams uuid[], producers text[], first_ns bigint[], jobs uuid[], owners text[], starts integer[], counts integer[],
    entries integer[], kinds text[], data jsonb[])
RETURNS TABLE (ordinal integer, next_n bigint, fresh integer, problem text, left_over boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    problems text[];
    known bigint[];
    skips integer[];
    said record;
BEGIN
    -- Held until we commit: a claim is not lost while it speaks. Jobs first and
    -- by id, as everywhere.
    PERFORM FROM work.jobs AS j
    WHERE j.id IN (SELECT f.job FROM unnest(producers) AS p (name), work_engine.fence_of(p.name) AS f)
    ORDER BY j.id FOR SHARE;

    SELECT array_agg(CASE
        WHEN s.id IS NULL OR s.owner IS DISTINCT FROM coalesce(e.owner, s.owner) THEN 'not_found'
        WHEN e.producer IS NOT NULL AND e.twins > 1 THEN 'conflict'
        WHEN f.job IS NOT NULL AND (j.id IS NULL OR j.state <> 'running' OR j.waiting_on IS NOT NULL
            OR j.epoch <> f.epoch OR j.stream_id IS DISTINCT FROM e.stream
            OR f.job <> coalesce(e.job, f.job)) THEN 'stale'
        END ORDER BY e.n)
    INTO problems
    FROM (
        SELECT u.*, count(*) OVER (PARTITION BY u.stream, u.producer) AS twins
        FROM unnest(streams, producers, jobs, owners) WITH ORDINALITY AS u (stream, producer, job, owner, n)
    ) AS e
    LEFT JOIN work.streams AS s ON s.id = e.stream
    LEFT JOIN LATERAL work_engine.fence_of(e.producer) AS f ON true
    LEFT JOIN work.jobs AS j ON j.id = f.job;

    INSERT INTO work_engine.producers (stream_id, producer, next_n)
    SELECT e.stream, e.producer, 0
    FROM unnest(streams, producers, first_ns, problems) AS e (stream, producer, first_n, problem)
    WHERE e.problem IS NULL AND e.producer IS NOT NULL AND e.first_n = 0
    ORDER BY e.stream, e.producer
    ON CONFLICT DO NOTHING;

    WITH wanted AS MATERIALIZED (
        SELECT e.* FROM unnest(streams, producers, problems) WITH ORDINALITY AS e (stream, producer, problem, n)
    ), held AS MATERIALIZED (
        SELECT p.stream_id, p.producer, p.next_n FROM work_engine.producers AS p
        WHERE (p.stream_id, p.producer) IN (SELECT w.stream, w.producer FROM wanted AS w WHERE w.problem IS NULL)
        ORDER BY p.stream_id, p.producer FOR NO KEY UPDATE
    )
    SELECT array_agg(coalesce(h.next_n, 0) ORDER BY w.n) INTO known
    FROM wanted AS w LEFT JOIN held AS h ON h.stream_id = w.stream AND h.producer = w.producer;

    SELECT
        array_agg(CASE WHEN e.problem IS NULL AND e.producer IS NOT NULL AND e.first_n > e.known
            THEN 'gap' ELSE e.problem END ORDER BY e.n),
        array_agg(CASE WHEN e.producer IS NULL THEN 0
            ELSE least(e.count, greatest(0, e.known - e.first_n)) END ORDER BY e.n)
    INTO problems, skips
    FROM unnest(producers, first_ns, known, counts, problems) WITH ORDINALITY
        AS e (producer, first_n, known, count, problem, n);

    UPDATE work_engine.producers AS p SET next_n = e.first_n + e.count
    FROM unnest(streams, producers, first_ns, counts, problems) AS e (stream, producer, first_n, count, problem)
    WHERE p.stream_id = e.stream AND p.producer = e.producer AND e.problem IS NULL AND p.next_n < e.first_n + e.count;

    SELECT
        array_agg(streams[v.entry] ORDER BY v.n) AS streams,
        array_agg(coalesce(jobs[v.entry], (work_engine.fence_of(producers[v.entry])).job) ORDER BY v.n) AS jobs,
        array_agg(v.kind ORDER BY v.n) AS kinds, array_agg(v.data ORDER BY v.n) AS data
    INTO said
    FROM unnest(entries, kinds, data) WITH ORDINALITY AS v (entry, kind, data, n)
    WHERE problems[v.entry] IS NULL AND v.n > starts[v.entry] + skips[v.entry];
    IF said.streams IS NOT NULL THEN
        PERFORM work_engine.append(said.streams, said.jobs, said.kinds, said.data);
    END IF;

    RETURN QUERY
    SELECT e.n::integer,
        CASE WHEN e.producer IS NULL THEN NULL WHEN e.problem IS NULL THEN greatest(e.known, e.first_n + e.count)
            WHEN e.problem = 'gap' THEN e.known END,
        CASE WHEN e.problem IS NULL THEN e.count - e.skip ELSE 0 END,
        e.problem,
        EXISTS (SELECT FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (said.streams))
    FROM unnest(producers, first_ns, known, counts, skips, problems) WITH ORDINALITY
        AS e (producer, first_n, known, count, skip, problem, n)
    ORDER BY e.n;
END;
$$;
COMMENT ON FUNCTION work_engine.append_batch(uuid[], text[], bigint[], uuid[], text[], integer[], integer[], integer[], text[], jsonb[]) IS
    'Appends for many writers in one transaction, each event once; a verdict for each writer.';

-- The same for one writer, whose problem is an error. `owner` is whose the stream
-- must be; null for any.
CREATE FUNCTION work_engine.append_one(
    stream uuid, owner text, producer text, first_n bigint, job uuid, kinds text[], data jsonb[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    many CONSTANT integer := cardinality(kinds);
    told record;
BEGIN
    SELECT b.* INTO told FROM work_engine.append_batch(
        ARRAY[stream], ARRAY[producer], ARRAY[first_n], ARRAY[job], ARRAY[owner], ARRAY[0], ARRAY[many],
        array_fill(1, ARRAY[many]), kinds, data) AS b;
    CASE told.problem
        WHEN 'not_found' THEN
            RAISE EXCEPTION 'there is no such stream' USING ERRCODE = 'PT404', DETAIL = 'not_found';
        WHEN 'stale' THEN
            RAISE EXCEPTION 'the producer''s claim has lost its job' USING ERRCODE = 'PT409', DETAIL = 'stale';
        WHEN 'gap' THEN
            RAISE EXCEPTION 'events before these are missing; the next is %', told.next_n
                USING ERRCODE = 'PT409', DETAIL = 'gap', HINT = format('The producer''s next event is %s.', told.next_n);
        ELSE
            RETURN told.next_n;
    END CASE;
END;
$$;

CREATE FUNCTION work_engine.append_as(stream uuid, producer text, first_n bigint, job uuid, kinds text[], data jsonb[])
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.append_one(stream, NULL, producer, first_n, job, kinds, data) $$;
COMMENT ON FUNCTION work_engine.append_as(uuid, text, bigint, uuid, text[], jsonb[]) IS
    'Appends what a producer has not sent before; the number of its next event.';

-- A page of a stream. Never empty while there is more: one event may be larger
-- than the bytes that were asked for.
CREATE FUNCTION work_engine.events_after(stream uuid, after bigint, most integer, bytes integer DEFAULT 1048576)
RETURNS TABLE (stream_id uuid, seq bigint, job_id uuid, kind text, data text, at text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.stream_id, p.seq, p.job_id, p.kind, p.data, to_char(p.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM (
        SELECT e.*, sum(octet_length(e.data)) OVER (ORDER BY e.seq ROWS UNBOUNDED PRECEDING) - octet_length(e.data) AS before
        FROM (
            SELECT v.stream_id, v.seq, v.job_id, v.kind, v.data::text AS data, v.at FROM work.events AS v
            WHERE v.stream_id = events_after.stream AND v.seq > events_after.after
            ORDER BY v.seq LIMIT most
        ) AS e
    ) AS p
    WHERE p.before < bytes
    ORDER BY p.seq
$$;
COMMENT ON FUNCTION work_engine.events_after(uuid, bigint, integer, integer) IS 'A page of a stream behind a cursor.';

-- News of many streams at once, at most so many events of each. A stream that
-- is gone has one row without a number.
CREATE FUNCTION work_engine.tails(streams uuid[], afters bigint[], most integer)
RETURNS TABLE (stream_id uuid, seq bigint, job_id uuid, kind text, data text, at text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.stream, v.seq, v.job_id, v.kind, v.data::text, to_char(v.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM unnest(streams, afters) AS w (stream, after)
    LEFT JOIN work.streams AS s ON s.id = w.stream
    LEFT JOIN LATERAL (
        SELECT e.* FROM work.events AS e WHERE e.stream_id = s.id AND e.seq > w.after ORDER BY e.seq LIMIT most
    ) AS v ON true
    WHERE s.id IS NULL OR v.seq IS NOT NULL
    ORDER BY w.stream, v.seq
$$;
COMMENT ON FUNCTION work_engine.tails(uuid[], bigint[], integer) IS 'What is new in many streams, each behind its own cursor.';

-- Deletes at most so many events: of streams that belong to no session and no
-- tree of jobs any more, which then go, too; and chunks older than that, when a
-- time is given. How many rows went.
CREATE FUNCTION work_engine.prune_events(most integer, chunks_older interval DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone uuid[];
    events bigint;
    streams bigint;
    chunks bigint := 0;
BEGIN
    -- The hour is for whoever makes a stream first and its owner after it.
    SELECT array_agg(l.id) INTO gone FROM (
        SELECT s.id FROM work.streams AS s
        WHERE s.created_at < now() - interval '1 hour'
          AND NOT EXISTS (SELECT FROM work.sessions AS o WHERE o.id = s.id)
          AND NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.id = s.id)
        LIMIT greatest(1, most / 10)
        FOR UPDATE SKIP LOCKED
    ) AS l;
    DELETE FROM work.events AS e
    WHERE e.ctid = ANY (ARRAY(SELECT v.ctid FROM work.events AS v WHERE v.stream_id = ANY (gone) LIMIT most));
    GET DIAGNOSTICS events = ROW_COUNT;
    DELETE FROM work.streams AS s
    WHERE s.id = ANY (gone) AND NOT EXISTS (SELECT FROM work.events AS e WHERE e.stream_id = s.id);
    GET DIAGNOSTICS streams = ROW_COUNT;
    IF chunks_older IS NOT NULL THEN
        DELETE FROM work.events AS e
        WHERE e.ctid = ANY (ARRAY(
            SELECT v.ctid FROM work.events AS v
            WHERE v.at < now() - chunks_older AND v.kind = 'job.chunk' LIMIT greatest(0, most - events)));
        GET DIAGNOSTICS chunks = ROW_COUNT;
    END IF;
    RETURN events + streams + chunks;
END;
$$;
COMMENT ON FUNCTION work_engine.prune_events(integer, interval) IS
    'Deletes streams that belong to nobody any more, and old chunks if asked; how many rows.';

SELECT work_engine.admit();
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
