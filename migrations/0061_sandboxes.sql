-- Why: sandboxes that Ferrobase itself runs, beside those that a client only
-- keeps note of: where they run, how strong their walls are, until when they
-- live, why they ended. All that is the engine's word: callers see it in rows
-- of their sessions and cannot write it.
-- Lock impact: adds columns to work.sandboxes with constant defaults or none,
-- which rewrites nothing; checks and indexes read the table once, which has a
-- row for each sandbox of a session.

ALTER TABLE work.sandboxes
    -- `own` ones are run here; of `outside` ones only a note is kept.
    ADD COLUMN kind text NOT NULL DEFAULT 'outside' CHECK (kind IN ('outside', 'own')),
    -- The running server that has it, as long as it runs.
    ADD COLUMN node text CHECK (char_length(node) <= 200),
    ADD COLUMN template text CHECK (char_length(template) <= 100),
    -- What keeps it in, in the engine's words.
    ADD COLUMN strength text CHECK (char_length(strength) <= 200),
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    -- Whether its pages ask for a link of its owner's.
    ADD COLUMN private boolean NOT NULL DEFAULT false,
    -- Whether being used makes it live on.
    ADD COLUMN stays boolean NOT NULL DEFAULT false,
    ADD COLUMN lives interval,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN reason text CHECK (char_length(reason) <= 1000),
    ADD COLUMN ended_at timestamptz,
    DROP CONSTRAINT sandboxes_status_check,
    ADD CONSTRAINT sandboxes_status_check CHECK (status IN ('creating', 'active', 'paused', 'stopped', 'error'));
CREATE UNIQUE INDEX sandboxes_own ON work.sandboxes (sandbox_id) WHERE kind = 'own';
CREATE INDEX sandboxes_live ON work.sandboxes (last_seen_at)
    WHERE kind = 'own' AND status IN ('creating', 'active', 'paused');

-- A caller changes the note of somebody else's sandbox, not the state of ours.
CREATE FUNCTION work_engine.sandbox_changes()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.kind = 'own' AND NOT work_engine.unrestricted()
       AND (OLD.status, OLD.url, OLD.last_seen_at) IS DISTINCT FROM (NEW.status, NEW.url, NEW.last_seen_at) THEN
        RAISE EXCEPTION 'the state of this sandbox is not written by hand' USING ERRCODE = 'PT409', DETAIL = 'conflict';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER changes BEFORE UPDATE ON work.sandboxes
    FOR EACH ROW EXECUTE FUNCTION work_engine.sandbox_changes();

CREATE OR REPLACE FUNCTION work_engine.sandbox_changed()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(ARRAY[NEW.session_id], ARRAY[NULL::uuid], 'session.sandbox',
        ARRAY[jsonb_strip_nulls(jsonb_build_object('id', NEW.id, 'sandbox_id', NEW.sandbox_id, 'status', NEW.status,
            'url', left(NEW.url, 1000), 'strength', NEW.strength, 'reason', NEW.reason))]);
    RETURN NULL;
END;
$$;

-- What this may become. Nothing leads out of an end: a new one is made instead.
CREATE FUNCTION work_engine.sandbox_may_become(from_status text, to_status text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_status = ANY (CASE from_status
        WHEN 'creating' THEN ARRAY['active', 'stopped', 'error']
        WHEN 'active' THEN ARRAY['active', 'paused', 'stopped', 'error']
        WHEN 'paused' THEN ARRAY['active', 'paused', 'stopped', 'error']
        ELSE '{}'::text[] END)
$$;

-- A sandbox to be, for a session that the room has seen as its caller, who was
-- `mine` then. Its id is not to be guessed: it is part of an address.
CREATE FUNCTION work_engine.open_sandbox(session uuid, mine text, at_node text, most integer, fields jsonb)
RETURNS work.sandboxes
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found work.sessions;
    made work.sandboxes;
BEGIN
    -- Two at once must not both be the last that is allowed.
    PERFORM pg_advisory_xact_lock(hashtextextended('ferrobase.sandboxes:' || coalesce(mine, ''), 0));
    SELECT s.* INTO found FROM work.sessions AS s
    WHERE s.id = session AND s.owner IS NOT DISTINCT FROM mine AND s.status <> 'deleted'
    FOR KEY SHARE;
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    IF (SELECT count(*) FROM work.sandboxes AS b JOIN work.sessions AS s ON s.id = b.session_id
        WHERE b.kind = 'own' AND b.status IN ('creating', 'active', 'paused') AND s.owner IS NOT DISTINCT FROM mine) >= most THEN
        RAISE EXCEPTION 'at most % sandboxes of one owner at a time', most USING ERRCODE = 'PT429', DETAIL = 'over_limit';
    END IF;
    INSERT INTO work.sandboxes AS b
        (session_id, sandbox_id, kind, status, node, template, strength, limits, private, stays, lives, expires_at, metadata)
    VALUES (session, 'sb' || replace(gen_random_uuid()::text, '-', ''), 'own', 'creating', at_node,
        fields ->> 'template', fields ->> 'strength', coalesce(fields -> 'limits', '{}'),
        coalesce((fields ->> 'private')::boolean, false), coalesce((fields ->> 'stays')::boolean, false),
        make_interval(secs => (fields ->> 'seconds')::double precision),
        clock_timestamp() + make_interval(secs => (fields ->> 'seconds')::double precision),
        coalesce(nullif(fields -> 'metadata', 'null'), '{}'))
    RETURNING b.* INTO made;
    RETURN made;
END;
$$;

-- The next state of a sandbox of this node; none when there is none that could
-- come to it. `fields`: url, reason, seconds to live from now.
CREATE FUNCTION work_engine.change_sandbox(which text, at_node text, to_status text, fields jsonb)
RETURNS SETOF work.sandboxes
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE work.sandboxes AS b
    SET status = to_status,
        url = coalesce(fields ->> 'url', b.url),
        reason = coalesce(left(fields ->> 'reason', 1000), b.reason),
        lives = coalesce(make_interval(secs => (fields ->> 'seconds')::double precision), b.lives),
        expires_at = CASE WHEN fields ? 'seconds'
            THEN clock_timestamp() + make_interval(secs => (fields ->> 'seconds')::double precision) ELSE b.expires_at END,
        ended_at = CASE WHEN to_status IN ('stopped', 'error') THEN clock_timestamp() END,
        last_seen_at = clock_timestamp()
    WHERE b.sandbox_id = which AND b.kind = 'own' AND b.node = at_node
      AND work_engine.sandbox_may_become(b.status, to_status)
    RETURNING b.*
$$;

-- A node's look at its sandboxes: `present` ones are alive, those of `used`
-- were used since the last look. Answers which of those that are present must
-- end, and why; marks as stopped what is no more, here and on nodes that have
-- not been heard of for `silent`.
CREATE FUNCTION work_engine.look_at_sandboxes(at_node text, present text[], used text[], silent interval)
RETURNS TABLE (sandbox_id text, why text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE work.sandboxes AS b
    SET last_seen_at = clock_timestamp(),
        expires_at = CASE WHEN b.stays AND b.sandbox_id = ANY (used) THEN greatest(b.expires_at, clock_timestamp() + b.lives)
                          ELSE b.expires_at END
    WHERE b.kind = 'own' AND b.node = at_node AND b.sandbox_id = ANY (present)
      AND b.status IN ('creating', 'active', 'paused');
    -- What is being made is not present yet; making takes no minutes.
    UPDATE work.sandboxes AS b
    SET status = 'stopped', ended_at = clock_timestamp(), reason = 'it is gone'
    WHERE b.kind = 'own' AND b.node = at_node AND NOT b.sandbox_id = ANY (present)
      AND (b.status IN ('active', 'paused') OR (b.status = 'creating' AND b.last_seen_at < clock_timestamp() - silent));
    UPDATE work.sandboxes AS b
    SET status = 'stopped', ended_at = clock_timestamp(), reason = 'its server is gone'
    WHERE b.kind = 'own' AND b.node <> at_node AND b.status IN ('creating', 'active', 'paused')
      AND b.last_seen_at < clock_timestamp() - silent;
    RETURN QUERY
    SELECT p.id, CASE WHEN b.id IS NULL THEN 'its session is gone' ELSE 'its time is over' END
    FROM unnest(present) AS p (id)
    LEFT JOIN work.sandboxes AS b ON b.sandbox_id = p.id AND b.kind = 'own' AND b.node = at_node
        AND b.status IN ('creating', 'active', 'paused')
    LEFT JOIN work.sessions AS s ON s.id = b.session_id AND s.status <> 'deleted'
    WHERE b.id IS NULL OR s.id IS NULL OR b.expires_at < clock_timestamp();
END;
$$;

-- At its start a server knows that whatever ran under it before runs no more.
CREATE FUNCTION work_engine.forget_sandboxes(of_machine text, at_node text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten integer;
BEGIN
    UPDATE work.sandboxes AS b
    SET status = 'stopped', ended_at = clock_timestamp(), reason = 'the server was restarted'
    WHERE b.kind = 'own' AND starts_with(b.node, of_machine || '/') AND b.node <> at_node
      AND b.status IN ('creating', 'active', 'paused');
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT ferrobase.attempt('sandboxes of callers', 'sandboxes of others cannot be noted', $$
    REVOKE INSERT ON work.sandboxes FROM authenticated, service_role;
    GRANT INSERT (id, session_id, sandbox_id, url, status, last_seen_at, metadata, created_at)
        ON work.sandboxes TO authenticated, service_role
$$);
SELECT work_engine.admit();
