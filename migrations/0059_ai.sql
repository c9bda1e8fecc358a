-- Why: the model gateway's books. Every call to a model is a row of `ai.calls`,
-- whoever made it and however it ended; budgets are held against what calls
-- may cost before they are made, and settled with what they did cost. Clients
-- read what is theirs in schema `ai`; schema `ai_engine` is the functions
-- behind the server. Both belong to the role `ferrobase_ai`, which nothing that
-- serves requests of users can become.
-- Lock impact: creates new objects only; no existing relation is locked.

SELECT ferrobase.ensure_role('ferrobase_ai', 'LOGIN NOINHERIT', 'the model gateway is switched off');
SELECT ferrobase.attempt('membership in ferrobase_ai', 'the model gateway is switched off',
    format('GRANT ferrobase_ai TO %I', current_user))
WHERE to_regrole('ferrobase_ai') IS NOT NULL;

DO $$
BEGIN
    IF to_regnamespace('ai') IS NOT NULL OR to_regnamespace('ai_engine') IS NOT NULL THEN
        RAISE EXCEPTION 'the database has a schema "ai" or "ai_engine" that is not Ferrobase''s'
            USING HINT = 'The model gateway keeps its ledger there. Rename yours before you start Ferrobase on this database.';
    END IF;
END;
$$;
CREATE SCHEMA ai;
CREATE SCHEMA ai_engine;
COMMENT ON SCHEMA ai IS 'Calls to models, what they cost, and what may be spent.';

CREATE TABLE ai.calls (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    -- Who: the subject of the token; null for the project's own keys.
    owner text,
    api_key uuid,
    session_id uuid,
    job_id uuid,
    step text CHECK (char_length(step) <= 400),
    -- A memoised step's token: the same request with it is paid for once.
    token uuid,
    digest bytea CHECK (octet_length(digest) = 32),
    kind text NOT NULL CHECK (kind IN ('chat', 'embed')),
    -- What was asked for, a role or `provider/model`, and who answered.
    target text NOT NULL CHECK (char_length(target) <= 400),
    provider text,
    model text,
    -- Null while the call runs. `lost` is one whose server has died.
    outcome text CHECK (outcome IN ('ok', 'error', 'truncated', 'cancelled', 'refused', 'lost')),
    error text,
    stop text,
    attempts integer NOT NULL DEFAULT 0,
    cached boolean NOT NULL DEFAULT false,
    -- Whether the counts are ours, for want of the provider's.
    estimated boolean NOT NULL DEFAULT false,
    tokens_in bigint,
    tokens_out bigint,
    tokens_cached bigint,
    tokens_cache_written bigint,
    tokens_reasoning bigint,
    -- In US dollars; null when nobody knows the price.
    cost numeric,
    cost_reported numeric,
    -- What budgets counted, which is never null.
    charged numeric NOT NULL DEFAULT 0,
    usage jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    first_token_ms integer,
    latency_ms integer,
    finished_at timestamptz,
    -- Until when somebody can still be working on it.
    until timestamptz,
    -- Counted by tries to make a call with the same token.
    try integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE ai.calls IS 'The ledger: every call to a model, who made it, what it cost, how it ended.';
CREATE INDEX calls_owner ON ai.calls (owner, started_at DESC);
CREATE INDEX calls_session ON ai.calls (session_id, started_at DESC) WHERE session_id IS NOT NULL;
CREATE INDEX calls_job ON ai.calls (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX calls_open ON ai.calls (until) WHERE finished_at IS NULL;
CREATE INDEX calls_started ON ai.calls USING brin (started_at) WITH (autosummarize = on);
CREATE UNIQUE INDEX calls_token ON ai.calls (coalesce(owner, ''), token, digest) WHERE token IS NOT NULL;

CREATE TABLE ai.budgets (
    scope text NOT NULL CHECK (scope IN ('user', 'key', 'session')),
    -- A user's id, a key's, a session's; empty for each that has none of its own.
    subject text NOT NULL DEFAULT '' CHECK (char_length(subject) <= 400),
    period text NOT NULL DEFAULT 'month' CHECK (period IN ('hour', 'day', 'week', 'month', 'total')),
    cost numeric CHECK (cost >= 0 AND cost <> 'NaN'),
    tokens bigint CHECK (tokens >= 0),
    PRIMARY KEY (scope, subject, period),
    CHECK (cost IS NOT NULL OR tokens IS NOT NULL)
);
COMMENT ON TABLE ai.budgets IS 'What may be spent in a period, in US dollars, tokens or both.';

CREATE TABLE ai.spending (
    scope text NOT NULL,
    subject text NOT NULL,
    period text NOT NULL,
    -- When the period began, by UTC.
    starts timestamptz NOT NULL,
    cost_spent numeric NOT NULL DEFAULT 0,
    cost_reserved numeric NOT NULL DEFAULT 0,
    tokens_spent bigint NOT NULL DEFAULT 0,
    tokens_reserved bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, subject, period, starts)
);
COMMENT ON TABLE ai.spending IS 'What was spent and is reserved of each budget, period by period.';

CREATE TABLE ai.cache (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    owner text,
    answer jsonb NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ai.cache IS 'Answers of roles that allow it, for the same question of the same owner.';
CREATE INDEX cache_kept_at ON ai.cache (kept_at);

-- What a running call holds of a budget.
CREATE TABLE ai_engine.holds (
    call_id uuid NOT NULL REFERENCES ai.calls ON DELETE CASCADE,
    try integer NOT NULL,
    scope text NOT NULL,
    subject text NOT NULL,
    period text NOT NULL,
    starts timestamptz NOT NULL,
    cost numeric NOT NULL,
    tokens bigint NOT NULL,
    -- The part of it that was spent by asking, whatever became of the answer.
    sent_cost numeric NOT NULL,
    sent_tokens bigint NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (call_id, try, scope, subject, period)
);
CREATE INDEX holds_until ON ai_engine.holds (until);

-- Answers of calls with a token, until the step that asked is surely recorded.
CREATE TABLE ai_engine.answers (
    call_id uuid PRIMARY KEY REFERENCES ai.calls ON DELETE CASCADE,
    answer jsonb NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX answers_kept_at ON ai_engine.answers (kept_at);

DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['ai.calls', 'ai.budgets', 'ai.spending', 'ai.cache', 'ai_engine.holds', 'ai_engine.answers'] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tab);
    END LOOP;
END;
$$;
CREATE POLICY own ON ai.calls FOR SELECT USING (owner = (SELECT work.me()));
CREATE POLICY own ON ai.cache FOR SELECT USING (owner = (SELECT work.me()));
-- One's own, and those that hold for everybody.
CREATE POLICY own ON ai.budgets FOR SELECT
    USING (subject = '' OR scope = 'user' AND subject = (SELECT work.me()));
CREATE POLICY own ON ai.spending FOR SELECT USING (scope = 'user' AND subject = (SELECT work.me()));

SELECT ferrobase.attempt('schema ai for callers', 'calls to models cannot be read', $$
    GRANT USAGE ON SCHEMA ai TO authenticated, service_role;
    GRANT SELECT ON ai.calls, ai.budgets, ai.spending TO authenticated, service_role;
    GRANT INSERT, UPDATE, DELETE ON ai.budgets TO service_role
$$);
