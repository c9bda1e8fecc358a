-- Why: durable work is rows. Schema `work` is what clients see of it: sessions,
-- jobs, what they wait for, what they did, and one event log for all. Every
-- table has row-level security by owner; clients read here and change jobs
-- through functions only. Schema `work_engine` is the functions behind both the
-- server and those functions; clients may not use it. Both belong to the role
-- `ferrobase_work`, which nothing that serves requests can become.
-- Lock impact: creates new objects only; no existing relation is locked.

SELECT ferrobase.ensure_role('ferrobase_work', 'LOGIN NOINHERIT', 'jobs and sessions are switched off');
SELECT ferrobase.attempt('membership in ferrobase_work', 'jobs and sessions are switched off',
    format('GRANT ferrobase_work TO %I', current_user))
WHERE to_regrole('ferrobase_work') IS NOT NULL;

DO $$
BEGIN
    IF to_regnamespace('work') IS NOT NULL OR to_regnamespace('work_engine') IS NOT NULL THEN
        RAISE EXCEPTION 'the database has a schema "work" or "work_engine" that is not Ferrobase''s'
            USING HINT = 'Jobs and sessions live in these schemas. Rename yours before you start Ferrobase on this database.';
    END IF;
END;
$$;
CREATE SCHEMA work;
CREATE SCHEMA work_engine;
COMMENT ON SCHEMA work IS 'Sessions, jobs and their events.';

-- Who is asking, as tokens of ours and of other issuers say it: not every
-- issuer's subject is a uuid.
CREATE FUNCTION work.me()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub' $$;
COMMENT ON FUNCTION work.me() IS 'The subject of the caller''s token; null without one.';

-- A uuid of version 7 by the database's clock: rows of one time lie together.
CREATE FUNCTION work.uuid_v7()
RETURNS uuid
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(
        set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE TABLE work.sessions (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    -- A client's own name for it, unique to its owner.
    key text CHECK (char_length(key) BETWEEN 1 AND 200),
    owner text DEFAULT work.me(),
    title text CHECK (char_length(title) <= 1000),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived', 'deleted')),
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX sessions_key ON work.sessions (coalesce(owner, ''), key) WHERE key IS NOT NULL;
CREATE INDEX sessions_owner ON work.sessions (owner, updated_at DESC);

-- What may be said about a type of job, once for all of them. A type that is
-- not here is a type all the same.
CREATE TABLE work.job_types (
    name text PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 200),
    queue text NOT NULL DEFAULT 'default' CHECK (char_length(queue) BETWEEN 1 AND 200),
    priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    max_attempts integer NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 1000),
    -- Before attempt n + 1: base * 2^(n-1), at most `backoff_max`, times 0.5 to 1.5.
    backoff_base interval NOT NULL DEFAULT '1 second' CHECK (backoff_base >= '0'),
    backoff_max interval NOT NULL DEFAULT '10 minutes' CHECK (backoff_max >= '0'),
    -- From the first start to the end; null for as long as it takes.
    time_limit interval CHECK (time_limit > '0'),
    limit_keys text[] NOT NULL DEFAULT '{}' CHECK (cardinality(limit_keys) <= 8),
    -- Whether what happens to such a job is told in its stream.
    events boolean NOT NULL DEFAULT true,
    keep_for interval CHECK (keep_for > '0'),
    -- Whether users may not submit it themselves.
    service_only boolean NOT NULL DEFAULT false,
    description text
);

CREATE TABLE work.queues (
    name text PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 200),
    paused boolean NOT NULL DEFAULT false
);

CREATE TABLE work.jobs (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    -- The tree: the root's id (its own for a root), the parent, how deep.
    root_id uuid NOT NULL,
    parent_id uuid REFERENCES work.jobs ON DELETE CASCADE,
    depth smallint NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 16),
    owner text,
    session_id uuid REFERENCES work.sessions ON DELETE CASCADE,
    -- Whose log this job's events go to; null for a job that tells nothing.
    stream_id uuid,
    type text NOT NULL CHECK (char_length(type) BETWEEN 1 AND 200),
    -- Unique among siblings, for people and for results by name.
    name text CHECK (char_length(name) BETWEEN 1 AND 200),
    queue text NOT NULL DEFAULT 'default',
    -- A group has no handler: it runs as long as its children do.
    is_group boolean NOT NULL DEFAULT false,

    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    -- What keeps a queued job from starting, or a running one suspended; null
    -- when nothing does. Only `queued` with null can be claimed.
    waiting_on text CHECK (waiting_on IN
        ('dependencies', 'time', 'retry', 'limit', 'budget', 'queue', 'children', 'signal', 'approval', 'timer')),
    -- Why, for people: a dependency's name, a limit's key, who cancelled.
    reason text,
    -- What `waiting_on` was before the pause.
    paused_from text,

    priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    -- The job's place among equals: virtual start time, so that owners take turns.
    sort_key double precision NOT NULL DEFAULT 0,
    -- Not before; the end of a delay, a backoff or a timer.
    run_at timestamptz,
    deadline_at timestamptz,

    -- Dependencies: how many must still be satisfied, how many are not over.
    deps_left integer NOT NULL DEFAULT 0,
    deps_open integer NOT NULL DEFAULT 0,
    -- Children: exact once every arrival is applied.
    children_total integer NOT NULL DEFAULT 0,
    children_open integer NOT NULL DEFAULT 0,
    children_failed integer NOT NULL DEFAULT 0,
    -- What a failed child means for its siblings and parent.
    on_child_failure text NOT NULL DEFAULT 'fail' CHECK (on_child_failure IN ('fail', 'continue', 'ignore')),

    -- Counted by claims; a claim's number fences everything it does.
    epoch integer NOT NULL DEFAULT 0,
    -- Ends that were the handler's fault, and ends that were the worker's.
    failures integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 1000),
    backoff_base interval,
    backoff_max interval,
    time_limit interval,
    worker text,
    lease_until timestamptz,
    -- The version of the handler's code that claimed it last.
    code_version text,

    input jsonb,
    output jsonb,
    error jsonb,
    -- 0 to 1. Of a parent: its children's, by weight.
    progress real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    message text,
    weight real NOT NULL DEFAULT 1 CHECK (weight > 0),
    weight_total real NOT NULL DEFAULT 0,
    weight_done real NOT NULL DEFAULT 0,
    cost_estimate real NOT NULL DEFAULT 1 CHECK (cost_estimate > 0),
    limit_keys text[],
    labels jsonb,
    idempotency_key text CHECK (char_length(idempotency_key) BETWEEN 1 AND 300),
    input_hash bytea,
    schedule_id uuid,
    forked_from uuid,

    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Only what can start now is in the index that claims read: what waits for
-- something else costs them nothing.
CREATE INDEX jobs_ready ON work.jobs (queue, priority DESC, sort_key, id)
    WHERE state = 'queued' AND waiting_on IS NULL;
-- Where an owner's next job goes in line.
CREATE INDEX jobs_turns ON work.jobs (queue, owner, sort_key)
    WHERE state = 'queued' AND waiting_on IS NULL AND owner IS NOT NULL;
CREATE INDEX jobs_leases ON work.jobs (lease_until) WHERE state = 'running' AND lease_until IS NOT NULL;
CREATE INDEX jobs_due ON work.jobs (run_at) WHERE waiting_on IN ('time', 'retry', 'timer') AND state IN ('queued', 'running');
CREATE INDEX jobs_deadlines ON work.jobs (deadline_at)
    WHERE deadline_at IS NOT NULL AND state IN ('queued', 'running', 'paused');
CREATE INDEX jobs_limited ON work.jobs USING gin (limit_keys) WHERE state = 'queued' AND waiting_on = 'limit';
CREATE INDEX jobs_parent ON work.jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX jobs_name ON work.jobs (parent_id, name) WHERE parent_id IS NOT NULL AND name IS NOT NULL;
CREATE INDEX jobs_root ON work.jobs (root_id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_session ON work.jobs (session_id, created_at) WHERE session_id IS NOT NULL;
CREATE INDEX jobs_owner ON work.jobs (owner, created_at) WHERE owner IS NOT NULL AND parent_id IS NULL;
CREATE UNIQUE INDEX jobs_idempotency ON work.jobs (coalesce(owner, ''), type, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_finished ON work.jobs (finished_at) WHERE finished_at IS NOT NULL AND parent_id IS NULL;
CREATE INDEX jobs_failed ON work.jobs (type, finished_at) WHERE state = 'failed';

CREATE TABLE work.dependencies (
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    on_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    condition text NOT NULL DEFAULT 'success' CHECK (condition IN ('success', 'terminal', 'failure')),
    PRIMARY KEY (job_id, on_id),
    CHECK (job_id <> on_id)
);
CREATE INDEX dependencies_on ON work.dependencies (on_id);

-- News for a job that nobody has applied to it yet: a child ended or advanced,
-- a dependency ended. Whoever ends a job leaves these and then applies those of
-- every job that it can lock without waiting; the rest is applied by whoever
-- comes next. So a parent of ten thousand is nobody's bottleneck.
CREATE TABLE work_engine.arrivals (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Whom it is for.
    job_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('child', 'dependency', 'progress')),
    source_id uuid NOT NULL,
    -- How the source ended.
    state text,
    -- Whether a dependency's condition was met.
    satisfied boolean,
    -- Weight that is done now and was not before.
    weight real NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX arrivals_job ON work_engine.arrivals (job_id);
ALTER TABLE work_engine.arrivals ENABLE ROW LEVEL SECURITY;

-- Ends of attempts that did not complete the job.
CREATE TABLE work.attempts (
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    epoch integer NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('failed', 'crashed', 'timed_out', 'cancelled', 'paused', 'suspended', 'released')),
    worker text,
    code_version text,
    error jsonb,
    started_at timestamptz,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, epoch)
);

-- What a job did or waits for, by name: a result once kept is the result.
CREATE TABLE work.steps (
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 500),
    kind text NOT NULL DEFAULT 'call' CHECK (kind IN ('call', 'timer', 'signal', 'approval', 'children')),
    state text NOT NULL CHECK (state IN ('started', 'waiting', 'done', 'failed', 'in_doubt', 'expired')),
    -- The claim that began it last.
    epoch integer NOT NULL,
    -- The handler's word for its code: another version runs anew.
    version text NOT NULL DEFAULT '',
    request_hash bytea,
    -- Given to the provider, the same for every try.
    idempotency_token uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The provider's word for work in progress there.
    handle jsonb,
    -- What it waits for: a signal's name, an approval's id.
    target text,
    due_at timestamptz,
    result jsonb,
    error jsonb,
    unit text,
    reserved numeric NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    usage jsonb,
    -- The result came from a claim that had lost the job by then.
    late boolean NOT NULL DEFAULT false,
    tries integer NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (job_id, key)
);
CREATE INDEX steps_waiting ON work.steps (kind, target) WHERE state = 'waiting';
CREATE INDEX steps_due ON work.steps (due_at) WHERE state = 'waiting' AND due_at IS NOT NULL;

CREATE TABLE work.signals (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    payload jsonb,
    idempotency_key text CHECK (char_length(idempotency_key) BETWEEN 1 AND 300),
    -- The step that took it.
    taken_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX signals_idempotency ON work.signals (job_id, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX signals_job ON work.signals (job_id, name, id) WHERE taken_by IS NULL;

CREATE TABLE work.approvals (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    step_key text NOT NULL,
    owner text,
    -- Who may answer beside the owner: a subject.
    assignee text,
    prompt text,
    -- A JSON Schema that the answer must satisfy.
    form jsonb,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'answered', 'expired', 'withdrawn')),
    answer jsonb,
    answered_by text,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at timestamptz,
    UNIQUE (job_id, step_key)
);
CREATE INDEX approvals_owner ON work.approvals (owner, created_at) WHERE state = 'pending';

CREATE TABLE work.budgets (
    -- Holds for this job and everything below it.
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    unit text NOT NULL CHECK (unit IN ('usd', 'tokens', 'seconds', 'calls')),
    cap numeric NOT NULL CHECK (cap >= 0),
    soft_cap numeric CHECK (soft_cap >= 0),
    spent numeric NOT NULL DEFAULT 0,
    reserved numeric NOT NULL DEFAULT 0,
    on_exceed text NOT NULL DEFAULT 'pause' CHECK (on_exceed IN ('pause', 'fail', 'ask')),
    PRIMARY KEY (job_id, unit)
);

CREATE TABLE work.ledger (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    root_id uuid NOT NULL,
    job_id uuid NOT NULL,
    owner text,
    step_key text,
    unit text NOT NULL,
    amount numeric NOT NULL,
    kind text NOT NULL CHECK (kind IN ('reserve', 'settle', 'release', 'adjust')),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ledger_root ON work.ledger (root_id, id);

-- How many at once, and how many in a time, for jobs that name the key.
CREATE TABLE work.limits (
    key text PRIMARY KEY CHECK (char_length(key) BETWEEN 1 AND 300),
    max_running integer CHECK (max_running >= 0),
    -- A token bucket: so many starts per `rate_period`, at most `burst` saved up.
    rate double precision CHECK (rate > 0),
    rate_period interval NOT NULL DEFAULT '1 second' CHECK (rate_period > '0'),
    burst double precision,
    tokens double precision,
    refilled_at timestamptz,
    -- A provider said: not before.
    paused_until timestamptz,
    reason text
);

CREATE TABLE work_engine.slots (
    key text NOT NULL,
    job_id uuid NOT NULL REFERENCES work.jobs ON DELETE CASCADE,
    PRIMARY KEY (key, job_id)
);
CREATE INDEX slots_job ON work_engine.slots (job_id);
ALTER TABLE work_engine.slots ENABLE ROW LEVEL SECURITY;

-- How much of the machines an owner gets where several want them; 1 unless said.
CREATE TABLE work.shares (
    owner text PRIMARY KEY,
    weight real NOT NULL CHECK (weight > 0)
);

CREATE TABLE work.schedules (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    owner text,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    cron text NOT NULL CHECK (char_length(cron) BETWEEN 1 AND 200),
    time_zone text NOT NULL DEFAULT 'UTC',
    -- What to submit: the fields of a job.
    job jsonb NOT NULL,
    -- When the last one is still at it.
    overlap text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'queue', 'cancel')),
    -- Of the times that passed while nothing ran: none, the last, or all (at most 100).
    missed text NOT NULL DEFAULT 'last' CHECK (missed IN ('none', 'last', 'all')),
    paused boolean NOT NULL DEFAULT false,
    next_at timestamptz,
    last_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX schedules_name ON work.schedules (coalesce(owner, ''), name);
CREATE INDEX schedules_next ON work.schedules (next_at) WHERE NOT paused;

CREATE TABLE work.schedule_fires (
    schedule_id uuid NOT NULL REFERENCES work.schedules ON DELETE CASCADE,
    fire_at timestamptz NOT NULL,
    job_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('submitted', 'skipped', 'missed', 'failed')),
    PRIMARY KEY (schedule_id, fire_at)
);

CREATE TABLE work.workers (
    id text PRIMARY KEY CHECK (char_length(id) BETWEEN 1 AND 200),
    owner text,
    queues text[] NOT NULL DEFAULT '{}',
    types text[],
    code_version text,
    slots integer,
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One log for a session, or for a tree of jobs without one. `last_seq` counts
-- in the transaction that made the event true, so that numbers have no gaps and
-- nobody sees 7 before 6.
CREATE TABLE work.streams (
    id uuid PRIMARY KEY,
    owner text,
    last_seq bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE work.events (
    stream_id uuid NOT NULL REFERENCES work.streams ON DELETE CASCADE,
    seq bigint NOT NULL,
    -- The job it is about, if one.
    job_id uuid,
    kind text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 100),
    data jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, seq)
);

-- Events whose stream was locked by somebody else when they happened, in the
-- order in which they will be numbered. As with arrivals, whoever can lock the
-- stream next numbers them.
CREATE TABLE work_engine.unnumbered (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    stream_id uuid NOT NULL,
    job_id uuid,
    kind text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX unnumbered_stream ON work_engine.unnumbered (stream_id, id);
ALTER TABLE work_engine.unnumbered ENABLE ROW LEVEL SECURITY;

-- How far each writer of a stream has come: what it sends twice is kept once.
CREATE TABLE work_engine.producers (
    stream_id uuid NOT NULL REFERENCES work.streams ON DELETE CASCADE,
    producer text NOT NULL CHECK (char_length(producer) BETWEEN 1 AND 300),
    next_n bigint NOT NULL,
    PRIMARY KEY (stream_id, producer)
);
ALTER TABLE work_engine.producers ENABLE ROW LEVEL SECURITY;
