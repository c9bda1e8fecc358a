-- Why: the functions of the model gateway's books: a call begins by reserving
-- what it may cost on every budget above it, in one transaction that cannot
-- overspend, and ends by settling what it did cost.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION ai_engine.period_start(period text)
RETURNS timestamptz
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE period
        WHEN 'total' THEN '-infinity'::timestamptz
        ELSE date_trunc(period, clock_timestamp(), 'UTC')
    END
$$;

-- The budgets that hold for a call: for each of user, key and session its own,
-- or else the one for everybody, period by period.
CREATE FUNCTION ai_engine.budgets_of(c ai.calls)
RETURNS TABLE (scope text, subject text, period text, cost numeric, tokens bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (b.scope, w.subject, b.period) b.scope, w.subject, b.period, b.cost, b.tokens
    FROM (VALUES ('user', c.owner), ('key', c.api_key::text), ('session', c.session_id::text)) AS w (scope, subject)
    JOIN ai.budgets AS b ON b.scope = w.scope AND b.subject IN (w.subject, '')
    WHERE w.subject IS NOT NULL
    ORDER BY b.scope, w.subject, b.period, b.subject DESC
$$;

-- Reserves on every budget of the call, or says which one refuses. `more` is
-- for a call that holds something already: the difference is reserved.
CREATE FUNCTION ai_engine.hold(c ai.calls, cost numeric, tokens bigint, sent_cost numeric, sent_tokens bigint)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b record;
    s ai.spending;
    held ai_engine.holds;
    began timestamptz;
BEGIN
    -- Rows are made and locked in one order, so that two calls never wait for
    -- each other in a circle. What is looked at stays locked until the end.
    FOR b IN SELECT * FROM ai_engine.budgets_of(c) AS o ORDER BY o.scope, o.subject, o.period LOOP
        began := ai_engine.period_start(b.period);
        -- A call that reserves more stays in the period in which it began.
        SELECT h.* INTO held FROM ai_engine.holds AS h
        WHERE h.call_id = c.id AND h.try = c.try AND h.scope = b.scope AND h.subject = b.subject AND h.period = b.period;
        began := coalesce(held.starts, began);
        INSERT INTO ai.spending AS t (scope, subject, period, starts) VALUES (b.scope, b.subject, b.period, began)
        ON CONFLICT DO NOTHING;
        SELECT t.* INTO s FROM ai.spending AS t
        WHERE t.scope = b.scope AND t.subject = b.subject AND t.period = b.period AND t.starts = began
        FOR UPDATE;
        IF s.cost_spent + s.cost_reserved - coalesce(held.cost, 0) + hold.cost > b.cost THEN
            RETURN jsonb_build_object('scope', b.scope, 'period', b.period, 'unit', 'usd', 'limit', b.cost,
                'spent', s.cost_spent, 'reserved', s.cost_reserved, 'needed', hold.cost);
        ELSIF s.tokens_spent + s.tokens_reserved - coalesce(held.tokens, 0) + hold.tokens > b.tokens THEN
            RETURN jsonb_build_object('scope', b.scope, 'period', b.period, 'unit', 'tokens', 'limit', b.tokens,
                'spent', s.tokens_spent, 'reserved', s.tokens_reserved, 'needed', hold.tokens);
        END IF;
    END LOOP;
    -- None refused, and all are locked.
    FOR b IN SELECT * FROM ai_engine.budgets_of(c) AS o ORDER BY o.scope, o.subject, o.period LOOP
        SELECT h.* INTO held FROM ai_engine.holds AS h
        WHERE h.call_id = c.id AND h.try = c.try AND h.scope = b.scope AND h.subject = b.subject AND h.period = b.period;
        began := coalesce(held.starts, ai_engine.period_start(b.period));
        INSERT INTO ai.spending AS t (scope, subject, period, starts, cost_reserved, tokens_reserved)
        VALUES (b.scope, b.subject, b.period, began, hold.cost, hold.tokens)
        ON CONFLICT ON CONSTRAINT spending_pkey DO UPDATE
        SET cost_reserved = t.cost_reserved - coalesce(held.cost, 0) + hold.cost,
            tokens_reserved = t.tokens_reserved - coalesce(held.tokens, 0) + hold.tokens;
        INSERT INTO ai_engine.holds AS h (call_id, try, scope, subject, period, starts, cost, tokens, sent_cost, sent_tokens, until)
        VALUES (c.id, c.try, b.scope, b.subject, b.period, began, hold.cost, hold.tokens, hold.sent_cost, hold.sent_tokens, c.until)
        ON CONFLICT ON CONSTRAINT holds_pkey DO UPDATE
        SET cost = excluded.cost, tokens = excluded.tokens, sent_cost = excluded.sent_cost, sent_tokens = excluded.sent_tokens;
    END LOOP;
    RETURN NULL;
END;
$$;

-- Begins a call: who asks for what, and what it may cost. Says the call's id
-- and try, or which budget refuses it, or the answer that was paid for before.
CREATE FUNCTION ai_engine.begin(said jsonb)
RETURNS TABLE (id uuid, try integer, refused jsonb, answer jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c ai.calls;
    known jsonb;
    no jsonb;
    fresh boolean := true;
    ends timestamptz := clock_timestamp() + (said ->> 'lasts')::interval;
BEGIN
    INSERT INTO ai.calls AS t (owner, api_key, session_id, job_id, step, token, digest, kind, target, until)
    VALUES (said ->> 'owner', (said ->> 'api_key')::uuid, (said ->> 'session')::uuid, (said ->> 'job')::uuid, said ->> 'step',
        (said ->> 'token')::uuid, decode(said ->> 'digest', 'hex'), said ->> 'kind', said ->> 'target', ends)
    ON CONFLICT (coalesce(owner, ''), token, digest) WHERE token IS NOT NULL DO NOTHING
    RETURNING t.* INTO c;
    IF NOT FOUND THEN
        fresh := false;
        SELECT t.* INTO c FROM ai.calls AS t
        WHERE coalesce(t.owner, '') = coalesce(said ->> 'owner', '') AND t.token = (said ->> 'token')::uuid
          AND t.digest = decode(said ->> 'digest', 'hex')
        FOR UPDATE;
        SELECT a.answer INTO known FROM ai_engine.answers AS a WHERE a.call_id = c.id;
        IF FOUND THEN
            RETURN QUERY SELECT c.id, c.try, NULL::jsonb, known;
            RETURN;
        END IF;
        -- Whoever tried before has failed or died, or will find that it was
        -- overtaken. What it still holds it settles itself, or the sweep does:
        -- until then its provider may be at work, and bills that too.
        UPDATE ai.calls AS t
        SET try = t.try + 1, until = ends, finished_at = NULL, outcome = NULL, error = NULL, stop = NULL
        WHERE t.id = c.id RETURNING t.* INTO c;
    END IF;
    no := ai_engine.hold(c, (said ->> 'cost')::numeric, (said ->> 'tokens')::bigint,
        (said ->> 'sent_cost')::numeric, (said ->> 'sent_tokens')::bigint);
    IF no IS NOT NULL THEN
        UPDATE ai.calls AS t SET outcome = 'refused', error = 'budget_exceeded', finished_at = clock_timestamp(), until = NULL
        WHERE t.id = c.id;
    END IF;
    RETURN QUERY SELECT c.id, c.try, no, NULL::jsonb;
END;
$$;
COMMENT ON FUNCTION ai_engine.begin(jsonb) IS 'Begins a call to a model: reserves what it may cost, or says why not.';

-- Another model is about to be tried, at another price. Says which budget
-- refuses it.
CREATE FUNCTION ai_engine.hold_more(call uuid, try integer, cost numeric, tokens bigint, sent_cost numeric, sent_tokens bigint)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c ai.calls;
BEGIN
    SELECT t.* INTO c FROM ai.calls AS t WHERE t.id = hold_more.call AND t.try = hold_more.try;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN ai_engine.hold(c, cost, tokens, sent_cost, sent_tokens);
END;
$$;

-- Gives back what a try held and books what it did cost.
CREATE FUNCTION ai_engine.release(call uuid, try integer, cost numeric, tokens bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h ai_engine.holds;
BEGIN
    FOR h IN
        SELECT t.* FROM ai_engine.holds AS t
        WHERE t.call_id = release.call AND t.try = release.try
        ORDER BY t.scope, t.subject, t.period
    LOOP
        -- Whoever removes the hold settles it; a second one finds nothing.
        DELETE FROM ai_engine.holds AS t
        WHERE t.call_id = h.call_id AND t.try = h.try AND t.scope = h.scope AND t.subject = h.subject AND t.period = h.period;
        CONTINUE WHEN NOT FOUND;
        UPDATE ai.spending AS t
        SET cost_reserved = greatest(t.cost_reserved - h.cost, 0), cost_spent = t.cost_spent + coalesce(release.cost, h.sent_cost),
            tokens_reserved = greatest(t.tokens_reserved - h.tokens, 0), tokens_spent = t.tokens_spent + coalesce(release.tokens, h.sent_tokens)
        WHERE t.scope = h.scope AND t.subject = h.subject AND t.period = h.period AND t.starts = h.starts;
    END LOOP;
END;
$$;

-- Ends a try of a call. `told` has the columns of the ledger by name, `charged`
-- and `counted` are what budgets count. A try that was overtaken books what it
-- cost and leaves the row to the later one.
CREATE FUNCTION ai_engine.settle(call uuid, try integer, told jsonb, counted bigint, answer jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours boolean;
BEGIN
    -- The row first, as in `begin`: one order of locks.
    UPDATE ai.calls AS t
    SET provider = r.provider, model = r.model, outcome = r.outcome, error = r.error, stop = r.stop,
        attempts = t.attempts + r.attempts, cached = coalesce(r.cached, false), estimated = coalesce(r.estimated, false),
        tokens_in = r.tokens_in, tokens_out = r.tokens_out, tokens_cached = r.tokens_cached,
        tokens_cache_written = r.tokens_cache_written, tokens_reasoning = r.tokens_reasoning,
        cost = r.cost, cost_reported = r.cost_reported, charged = t.charged + coalesce(r.charged, 0), usage = r.usage,
        first_token_ms = r.first_token_ms, latency_ms = r.latency_ms, finished_at = clock_timestamp(), until = NULL
    FROM jsonb_populate_record(NULL::ai.calls, told) AS r
    WHERE t.id = settle.call AND t.try = settle.try AND t.finished_at IS NULL;
    ours := FOUND;
    IF NOT ours THEN
        UPDATE ai.calls AS t SET charged = t.charged + coalesce((told ->> 'charged')::numeric, 0)
        WHERE t.id = settle.call AND t.try > settle.try;
    END IF;
    PERFORM ai_engine.release(settle.call, settle.try, (told ->> 'charged')::numeric, counted);
    IF settle.answer IS NOT NULL AND EXISTS (SELECT FROM ai.calls AS t WHERE t.id = settle.call AND t.token IS NOT NULL) THEN
        INSERT INTO ai_engine.answers (call_id, answer) VALUES (settle.call, settle.answer) ON CONFLICT DO NOTHING;
    END IF;
    RETURN ours;
END;
$$;
COMMENT ON FUNCTION ai_engine.settle(uuid, integer, jsonb, bigint, jsonb) IS 'Ends a call to a model: gives back what it held and books what it cost.';

-- Ends calls whose server has died: what they held is given back, but for what
-- asking alone has cost. Says how many calls and tries that were. Several at
-- once lock budgets in the order of the calls, in which others may wait for
-- them in a circle: so the server does one in each transaction.
CREATE FUNCTION ai_engine.sweep(most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
    swept integer := 0;
BEGIN
    FOR c IN
        SELECT t.id FROM ai.calls AS t WHERE t.finished_at IS NULL AND t.until < clock_timestamp()
        ORDER BY t.until LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE ai.calls AS t
        SET outcome = 'lost', finished_at = clock_timestamp(), until = NULL,
            charged = t.charged + coalesce((SELECT max(h.sent_cost) FROM ai_engine.holds AS h WHERE h.call_id = t.id AND h.try = t.try), 0)
        WHERE t.id = c.id;
        swept := swept + 1;
    END LOOP;
    FOR c IN
        SELECT DISTINCT t.call_id, t.try FROM ai_engine.holds AS t WHERE t.until < clock_timestamp() LIMIT most
    LOOP
        PERFORM ai_engine.release(c.call_id, c.try, NULL, NULL);
        swept := swept + 1;
    END LOOP;
    RETURN swept;
END;
$$;
COMMENT ON FUNCTION ai_engine.sweep(integer) IS 'Gives back what calls of servers that have died had reserved.';

-- Removes what has had its time, a bounded number of each.
CREATE FUNCTION ai_engine.prune(most integer, keep_calls interval, keep_answers interval, keep_cache interval)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH a AS (
        DELETE FROM ai_engine.answers WHERE call_id IN (
            SELECT t.call_id FROM ai_engine.answers AS t WHERE t.kept_at < clock_timestamp() - keep_answers LIMIT most)
        RETURNING 1
    ), b AS (
        DELETE FROM ai.cache WHERE key IN (
            SELECT t.key FROM ai.cache AS t WHERE t.kept_at < clock_timestamp() - keep_cache LIMIT most)
        RETURNING 1
    ), c AS (
        DELETE FROM ai.calls WHERE id IN (
            SELECT t.id FROM ai.calls AS t
            WHERE t.started_at < clock_timestamp() - keep_calls AND t.finished_at IS NOT NULL LIMIT most)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b) + (SELECT count(*) FROM c)
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ai, ai_engine FROM PUBLIC;

-- The engine. Where we may not give tables away, grants and policies do.
DO $$
DECLARE
    tab record;
BEGIN
    IF to_regrole('ferrobase_ai') IS NULL THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA ai, ai_engine, work TO ferrobase_ai;
    GRANT EXECUTE ON FUNCTION work.uuid_v7() TO ferrobase_ai;
    GRANT ALL ON ALL TABLES IN SCHEMA ai, ai_engine TO ferrobase_ai;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ai, ai_engine TO ferrobase_ai;
    FOR tab IN
        SELECT c.oid::regclass AS name
        FROM pg_class AS c
        WHERE c.relnamespace IN ('ai'::regnamespace, 'ai_engine'::regnamespace) AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('CREATE POLICY engine ON %s TO ferrobase_ai USING (true) WITH CHECK (true)', tab.name);
    END LOOP;
    PERFORM ferrobase.hand_over('ai', 'ferrobase_ai');
    PERFORM ferrobase.hand_over('ai_engine', 'ferrobase_ai');
END;
$$;
