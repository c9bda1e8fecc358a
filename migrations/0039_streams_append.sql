-- Why: how an event gets its number in the log of a session or of a tree of
-- jobs: counted in the transaction that makes it true, without ever waiting
-- for somebody else's.
-- Lock impact: creates new functions only.

-- One event for each place of the arrays, in their order. A stream that
-- somebody else has locked is not waited for: what was to be said of it is left
-- in `unnumbered` and numbered by whoever locks the stream next. What was left
-- there before goes first.
CREATE OR REPLACE FUNCTION work_engine.append(streams uuid[], jobs uuid[], kinds text[], data jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held uuid[];
BEGIN
    SELECT coalesce(array_agg(l.id), '{}') INTO held
    FROM (
        SELECT s.id FROM work.streams AS s WHERE s.id = ANY (streams)
        ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
    ) AS l;

    -- A statement of its own, so that it sees what was left until we had the lock.
    WITH left_over AS (
        DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (held) RETURNING u.*
    ), pending AS (
        SELECT l.stream_id, 0 AS turn, l.id AS place, l.job_id, l.kind, l.data, l.at FROM left_over AS l
        UNION ALL
        SELECT e.stream_id, 1, e.place, e.job_id, e.kind, e.data, clock_timestamp()
        FROM unnest(streams, jobs, kinds, data) WITH ORDINALITY AS e (stream_id, job_id, kind, data, place)
        WHERE e.stream_id = ANY (held)
    ), counted AS (
        UPDATE work.streams AS s SET last_seq = s.last_seq + c.many
        FROM (SELECT p.stream_id, count(*) AS many FROM pending AS p GROUP BY p.stream_id) AS c
        WHERE s.id = c.stream_id
        RETURNING s.id, s.last_seq - c.many AS before
    )
    INSERT INTO work.events (stream_id, seq, job_id, kind, data, at)
    SELECT p.stream_id, c.before + row_number() OVER (PARTITION BY p.stream_id ORDER BY p.turn, p.place),
        p.job_id, p.kind, p.data, p.at
    FROM pending AS p JOIN counted AS c ON c.id = p.stream_id;

    INSERT INTO work_engine.unnumbered (stream_id, job_id, kind, data)
    SELECT e.stream_id, e.job_id, e.kind, e.data
    FROM unnest(streams, jobs, kinds, data) WITH ORDINALITY AS e (stream_id, job_id, kind, data, place)
    WHERE e.stream_id <> ALL (held) AND EXISTS (SELECT FROM work.streams AS s WHERE s.id = e.stream_id)
    ORDER BY e.place;
END;
$$;
COMMENT ON FUNCTION work_engine.append(uuid[], uuid[], text[], jsonb[]) IS
    'Appends events to streams, numbered at once or, where a stream is locked, soon.';

-- Numbers what was left, of at most so many streams. How many events that were.
CREATE OR REPLACE FUNCTION work_engine.number_some(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting uuid[];
    before bigint;
BEGIN
    SELECT array_agg(w.stream_id), sum(w.many) INTO waiting, before
    FROM (
        SELECT u.stream_id, count(*) AS many FROM work_engine.unnumbered AS u
        GROUP BY u.stream_id ORDER BY min(u.id) LIMIT most
    ) AS w;
    IF waiting IS NULL THEN
        RETURN 0;
    END IF;
    -- Of a stream that is gone, nobody will ever ask.
    DELETE FROM work_engine.unnumbered AS u
    WHERE u.stream_id = ANY (waiting) AND NOT EXISTS (SELECT FROM work.streams AS s WHERE s.id = u.stream_id);
    WITH held AS MATERIALIZED (
        SELECT s.id FROM work.streams AS s WHERE s.id = ANY (waiting)
        ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT array_agg(h.id) INTO waiting FROM held AS h;
    IF waiting IS NULL THEN
        RETURN 0;
    END IF;
    WITH left_over AS (
        DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (waiting) RETURNING u.*
    ), counted AS (
        UPDATE work.streams AS s SET last_seq = s.last_seq + c.many
        FROM (SELECT l.stream_id, count(*) AS many FROM left_over AS l GROUP BY l.stream_id) AS c
        WHERE s.id = c.stream_id
        RETURNING s.id, s.last_seq - c.many AS before
    ), numbered AS (
        INSERT INTO work.events (stream_id, seq, job_id, kind, data, at)
        SELECT l.stream_id, c.before + row_number() OVER (PARTITION BY l.stream_id ORDER BY l.id),
            l.job_id, l.kind, l.data, l.at
        FROM left_over AS l JOIN counted AS c ON c.id = l.stream_id
        RETURNING seq
    )
    SELECT count(*) INTO before FROM numbered;
    RETURN before;
END;
$$;
COMMENT ON FUNCTION work_engine.number_some(integer) IS
    'Numbers the events that were left because their stream was locked, of at most so many streams.';

SELECT work_engine.admit();
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
