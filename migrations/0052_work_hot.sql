-- Why: what a job writes on its way from the line to its end. Every index of
-- `work.jobs` that named what a claim or an end changes made each of them write
-- all indexes anew. Now none does: a claim and an end are HOT updates, which
-- write the row and no index. What must be found by its state is found here:
--   the line     narrow rows of what can start now; a claim deletes them
--   holds        who was given what, to be looked at when the lease ends
--   the columns below, which are null on the short way and stay null
-- Lock impact: rewrites `work.jobs` under ACCESS EXCLUSIVE (some seconds for a
-- million jobs), which also gives its pages the room that HOT updates need.

DROP INDEX work.jobs_ready, work.jobs_turns, work.jobs_leases, work.jobs_due, work.jobs_deadlines, work.jobs_limited,
    work.jobs_finished, work.jobs_failed, work.jobs_schedule;

-- A page holds every row twice while a batch is claimed; what the claim left
-- dead is cleared away when the same rows end.
ALTER TABLE work.jobs SET (fillfactor = 45);
ALTER TABLE work.jobs
    -- When it is due, while it waits for a time.
    ADD COLUMN due_at timestamptz GENERATED ALWAYS AS (
        CASE WHEN waiting_on IN ('time', 'retry', 'timer') AND state IN ('queued', 'running') THEN run_at END) STORED,
    -- Its deadline, while it is open.
    ADD COLUMN expires_at timestamptz GENERATED ALWAYS AS (
        CASE WHEN state IN ('queued', 'running', 'paused') THEN deadline_at END) STORED,
    -- The limit it waits for.
    ADD COLUMN parked_under text GENERATED ALWAYS AS (
        CASE WHEN state = 'queued' AND waiting_on = 'limit' THEN coalesce(limited_by, limit_keys[1]) END) STORED,
    -- Its schedule, while it is open.
    ADD COLUMN open_schedule_id uuid GENERATED ALWAYS AS (
        CASE WHEN state IN ('queued', 'running', 'paused') THEN schedule_id END) STORED,
    ADD COLUMN failed_at timestamptz GENERATED ALWAYS AS (CASE WHEN state = 'failed' THEN finished_at END) STORED;
CREATE INDEX jobs_due ON work.jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_expire ON work.jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_parked ON work.jobs (parked_under, priority DESC, sort_key, id) WHERE parked_under IS NOT NULL;
CREATE INDEX jobs_scheduled ON work.jobs (open_schedule_id, id) WHERE open_schedule_id IS NOT NULL;
CREATE INDEX jobs_failed ON work.jobs (type, failed_at) WHERE failed_at IS NOT NULL;

-- What can start now, in the order in which it will. Only who holds a job's row
-- changes its place here, so nobody ever waits for a place. No foreign key: it
-- would cost each row more than the row itself, and the triggers below do it.
CREATE TABLE work_engine.line (
    job_id uuid NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    sort_key double precision NOT NULL,
    type text NOT NULL,
    owner text
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX line_order ON work_engine.line (queue, priority DESC, sort_key, job_id);
-- Where an owner's next job goes in line.
CREATE INDEX line_turns ON work_engine.line (queue, owner, sort_key) WHERE owner IS NOT NULL;
ALTER TABLE work_engine.line ENABLE ROW LEVEL SECURITY;

-- What was claimed together, to be looked at when the first of its leases may
-- be over. An end or a longer lease changes nothing here.
CREATE TABLE work_engine.holds (
    look_at timestamptz NOT NULL,
    -- At most a hundred, which fit into a row without a second table.
    jobs uuid[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX holds_look ON work_engine.holds (look_at);
ALTER TABLE work_engine.holds ENABLE ROW LEVEL SECURITY;

-- How far retention has come in its present round over the oldest jobs.
CREATE TABLE work_engine.broom (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    reached uuid NOT NULL
);
ALTER TABLE work_engine.broom ENABLE ROW LEVEL SECURITY;
INSERT INTO work_engine.broom (reached) VALUES ('00000000-0000-0000-0000-000000000000');

INSERT INTO work_engine.line (job_id, queue, priority, sort_key, type, owner)
SELECT j.id, j.queue, j.priority, j.sort_key, j.type, j.owner
FROM work.jobs AS j WHERE j.state = 'queued' AND j.waiting_on IS NULL;
INSERT INTO work_engine.holds (look_at, jobs)
SELECT min(h.lease_until), array_agg(h.id)
FROM (
    SELECT j.id, j.lease_until, row_number() OVER (ORDER BY j.lease_until) / 100 AS part
    FROM work.jobs AS j WHERE j.lease_until IS NOT NULL
) AS h
GROUP BY h.part;

CREATE FUNCTION work_engine.watch(ids uuid[], look_at timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO work_engine.holds (look_at, jobs)
    SELECT watch.look_at, watch.ids[n : n + 99] FROM generate_series(1, cardinality(watch.ids), 100) AS n;
END;
$$;
COMMENT ON FUNCTION work_engine.watch(uuid[], timestamptz) IS 'Has rescue look at these jobs then.';

-- New rows line up, many at once. As the engine, whoever it is that changes a
-- job: a user who deletes a session deletes its jobs, and knows no line.
CREATE FUNCTION work_engine.line_up_new()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO work_engine.line (job_id, queue, priority, sort_key, type, owner)
    SELECT n.id, n.queue, n.priority, n.sort_key, n.type, n.owner
    FROM made AS n WHERE n.state = 'queued' AND n.waiting_on IS NULL;
    RETURN NULL;
END;
$$;
CREATE TRIGGER line_new AFTER INSERT ON work.jobs
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION work_engine.line_up_new();

CREATE FUNCTION work_engine.line_follow()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was CONSTANT boolean := OLD.state = 'queued' AND OLD.waiting_on IS NULL;
    will boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        will := NEW.state = 'queued' AND NEW.waiting_on IS NULL;
        IF was AND will AND (OLD.queue, OLD.priority, OLD.sort_key, OLD.type) = (NEW.queue, NEW.priority, NEW.sort_key, NEW.type)
            AND OLD.owner IS NOT DISTINCT FROM NEW.owner
        THEN
            RETURN NULL;
        END IF;
    END IF;
    IF was THEN
        DELETE FROM work_engine.line AS l
        WHERE l.queue = OLD.queue AND l.priority = OLD.priority AND l.sort_key = OLD.sort_key AND l.job_id = OLD.id;
    END IF;
    IF will THEN
        INSERT INTO work_engine.line (job_id, queue, priority, sort_key, type, owner)
        VALUES (NEW.id, NEW.queue, NEW.priority, NEW.sort_key, NEW.type, NEW.owner)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;
-- Claims, which alone change the epoch, take away their places themselves, all
-- at once. The condition is read anew by every statement, so it is short.
CREATE TRIGGER line_changed AFTER UPDATE ON work.jobs FOR EACH ROW
    WHEN (NEW.state = 'queued' OR OLD.state = 'queued' AND NEW.epoch = OLD.epoch)
    EXECUTE FUNCTION work_engine.line_follow();
CREATE TRIGGER line_gone AFTER DELETE ON work.jobs FOR EACH ROW
    WHEN (OLD.state = 'queued' AND OLD.waiting_on IS NULL) EXECUTE FUNCTION work_engine.line_follow();

-- A lease that ends sooner than it would have is to be looked at sooner.
CREATE FUNCTION work_engine.lease_shortened()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.watch(ARRAY[NEW.id], NEW.lease_until);
    RETURN NULL;
END;
$$;
CREATE TRIGGER lease_shortened AFTER UPDATE ON work.jobs FOR EACH ROW
    WHEN (NEW.lease_until < OLD.lease_until) EXECUTE FUNCTION work_engine.lease_shortened();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
