-- Why: reading a session in one call, appending and searching messages, and
-- taking over a session that nobody owns yet.
-- Lock impact: functions only; nothing is locked.

-- Messages in their order; one whose key is there already is not kept twice.
-- Runs as the caller, whose policies hold.
CREATE FUNCTION work.append_messages(session_id uuid, messages jsonb)
RETURNS SETOF work.messages
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    made uuid[];
BEGIN
    IF jsonb_typeof(append_messages.messages) IS DISTINCT FROM 'array' OR jsonb_array_length(append_messages.messages) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'append 1 to 1000 messages' USING ERRCODE = 'PT400', DETAIL = 'over_limit';
    END IF;
    WITH fresh AS (
        INSERT INTO work.messages AS m (id, session_id, key, role, content, parts, metadata, job_id, created_at)
        SELECT coalesce((t.item ->> 'id')::uuid, work.uuid_v7()), append_messages.session_id, t.item ->> 'key',
            t.item ->> 'role', coalesce(t.item ->> 'content', ''), nullif(t.item -> 'parts', 'null'),
            coalesce(nullif(t.item -> 'metadata', 'null'), '{}'), (t.item ->> 'job_id')::uuid,
            coalesce((t.item ->> 'created_at')::timestamptz, clock_timestamp())
        FROM jsonb_array_elements(append_messages.messages) WITH ORDINALITY AS t (item, n)
        ORDER BY t.n
        ON CONFLICT (session_id, key) WHERE key IS NOT NULL DO NOTHING
        RETURNING m.id
    )
    SELECT coalesce(array_agg(f.id), '{}') INTO made FROM fresh AS f;
    -- Those that were there already are told as they are.
    RETURN QUERY
    SELECT m.* FROM work.messages AS m
    WHERE m.session_id = append_messages.session_id
      AND (m.id = ANY (made) OR m.key IN (SELECT t.item ->> 'key' FROM jsonb_array_elements(append_messages.messages) AS t (item)))
    ORDER BY m.seq;
END;
$$;

-- The words of `query` as search engines understand them. The owner is one more
-- word, so that only the caller's messages are looked at, and whose a message
-- is decides the session all the same. Not left to the policies: PostgreSQL
-- asks no index for words before it has asked a policy for every row.
CREATE FUNCTION work.search_messages(query text, in_session uuid DEFAULT NULL, most integer DEFAULT 20)
RETURNS TABLE (
    id uuid, session_id uuid, seq bigint, role text, created_at timestamptz, rank real, excerpt text)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    everybody constant boolean := work_engine.unrestricted();
    words constant tsquery := websearch_to_tsquery('simple'::regconfig, left(query, 1000));
    wanted constant tsquery := CASE WHEN everybody THEN words
        ELSE words && quote_literal(work_engine.owner_word(work.me()))::tsquery END;
BEGIN
    IF numnode(words) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT f.id, f.session_id, f.seq, f.role, f.created_at, f.rank, ts_headline('simple'::regconfig, left(f.content, 20000), words,
        'StartSel=**, StopSel=**, MaxFragments=2, MaxWords=24, MinWords=8')
    FROM (
        SELECT m.id, m.session_id, m.seq, m.role, m.created_at, m.content, ts_rank(m.search, words) AS rank
        FROM work.messages AS m JOIN work.sessions AS s ON s.id = m.session_id
        WHERE m.search @@ wanted
          AND (everybody OR s.owner = work.me())
          AND m.superseded_at IS NULL
          AND (in_session IS NULL OR m.session_id = in_session)
        ORDER BY rank DESC, m.created_at DESC, m.id
        LIMIT least(greatest(most, 1), 200)
    ) AS f
    ORDER BY f.rank DESC, f.created_at DESC, f.id;
END;
$$;
COMMENT ON FUNCTION work.search_messages(text, uuid, integer) IS
    'The caller''s messages that have these words, best first: words, "a phrase", or, -without.';

-- A session with what people want to see of it first. The newest messages are
-- taken, and shown in their order.
CREATE FUNCTION work.session_details(session_id uuid, messages integer DEFAULT 50, jobs integer DEFAULT 20)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb;
BEGIN
    SELECT to_jsonb(s) || jsonb_build_object(
        'messages', (
            SELECT coalesce(jsonb_agg(to_jsonb(l) - 'search' ORDER BY l.seq), '[]') FROM (
                SELECT * FROM work.messages AS m
                WHERE m.session_id = s.id AND m.superseded_at IS NULL
                ORDER BY m.seq DESC LIMIT least(greatest(session_details.messages, 0), 1000)) AS l),
        'jobs', (
            SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY l.created_at DESC, l.id DESC), '[]') FROM (
                SELECT * FROM work.jobs AS j WHERE j.session_id = s.id
                ORDER BY j.created_at DESC, j.id DESC LIMIT least(greatest(session_details.jobs, 0), 1000)) AS l),
        'sandbox', (
            SELECT to_jsonb(b) FROM work.sandboxes AS b WHERE b.session_id = s.id AND b.status = 'active'
            ORDER BY b.last_seen_at DESC, b.id DESC LIMIT 1),
        'checkpoints', (
            SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY l.created_at DESC, l.id DESC), '[]') FROM (
                SELECT * FROM work.checkpoints AS c WHERE c.session_id = s.id
                ORDER BY c.created_at DESC, c.id DESC LIMIT 1000) AS l),
        'totals', jsonb_build_object(
            'messages', (SELECT count(*) FROM work.messages AS m WHERE m.session_id = s.id AND m.superseded_at IS NULL),
            'jobs', (SELECT count(*) FROM work.jobs AS j WHERE j.session_id = s.id),
            'checkpoints', (SELECT count(*) FROM work.checkpoints AS c WHERE c.session_id = s.id),
            'files', (SELECT count(*) FROM work.workspace_files AS f WHERE f.session_id = s.id),
            'bytes', (SELECT coalesce(sum(f.size), 0) FROM work.workspace_files AS f WHERE f.session_id = s.id),
            'artifacts', (SELECT count(*) FROM work.artifacts AS a WHERE a.session_id = s.id),
            'tool_runs', (SELECT count(*) FROM work.tool_runs AS t WHERE t.session_id = s.id)))
    INTO found
    FROM work.sessions AS s WHERE s.id = session_details.session_id;
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN found;
END;
$$;

-- A key that makes whoever shows it the owner of a session that has none. It
-- is told once.
CREATE FUNCTION work.make_claim_key(session_id uuid)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session constant work.sessions := work_engine.own_session(make_claim_key.session_id);
    -- Two random uuids: 244 bits.
    secret constant text := 'claim_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
BEGIN
    IF session.owner IS NOT NULL THEN
        RAISE EXCEPTION 'the session has an owner' USING ERRCODE = 'PT409', DETAIL = 'conflict';
    END IF;
    DELETE FROM work_engine.claim_keys AS k WHERE k.session_id = session.id;
    INSERT INTO work_engine.claim_keys (hash, session_id) VALUES (sha256(convert_to(secret, 'UTF8')), session.id);
    RETURN secret;
END;
$$;

-- The caller becomes the owner of the session that the key is for, with its
-- jobs, its log and its files. Files are kept for each owner apart, so they
-- are kept again.
CREATE FUNCTION work.claim_session(claim_key text)
RETURNS work.sessions
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant text := work.me();
    taken uuid;
    session work.sessions;
    cp record;
    present uuid;
BEGIN
    IF coalesce(mine, '') = '' THEN
        RAISE EXCEPTION 'only somebody can own a session' USING ERRCODE = 'PT403', DETAIL = 'forbidden';
    END IF;
    DELETE FROM work_engine.claim_keys AS k WHERE k.hash = sha256(convert_to(claim_key, 'UTF8'))
    RETURNING k.session_id INTO taken;
    SELECT s.* INTO session FROM work.sessions AS s WHERE s.id = taken AND s.owner IS NULL FOR NO KEY UPDATE;
    IF session.id IS NULL THEN
        RAISE EXCEPTION 'this key opens nothing' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    present := work_engine.keep_tree(session);
    session.owner := mine;
    present := work_engine.rekey_tree(session, present);
    PERFORM work_engine.load_tree(session.id, present);
    FOR cp IN SELECT c.id, c.tree_id FROM work.checkpoints AS c WHERE c.session_id = session.id LOOP
        UPDATE work.checkpoints AS c SET tree_id = work_engine.rekey_tree(session, cp.tree_id) WHERE c.id = cp.id;
    END LOOP;
    UPDATE work.jobs AS j SET owner = mine WHERE j.session_id = session.id AND j.owner IS NULL;
    UPDATE work.approvals AS a SET owner = mine
    FROM work.jobs AS j WHERE j.id = a.job_id AND j.session_id = session.id AND a.owner IS NULL;
    UPDATE work.streams AS s SET owner = mine WHERE s.id = session.id;
    UPDATE work.sessions AS s SET owner = mine WHERE s.id = session.id RETURNING s.* INTO session;
    UPDATE work.messages AS m SET search = work_engine.message_words(m.content, mine) WHERE m.session_id = session.id;
    PERFORM work_engine.say(ARRAY[session.id], ARRAY[NULL::uuid], 'session.claimed', ARRAY['{}'::jsonb]);
    RETURN session;
END;
$$;

-- The same tree among the files of the session's owner.
CREATE FUNCTION work_engine.rekey_tree(session work.sessions, tree uuid)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept uuid;
BEGIN
    INSERT INTO work.blobs AS b (owner, sha256, size, content)
    SELECT session.owner, o.sha256, o.size, o.content
    FROM work.blobs AS o WHERE o.id IN (SELECT f.blob_id FROM work.tree_files AS f WHERE f.tree_id = tree)
    ON CONFLICT (owner, sha256) DO UPDATE SET used_at = clock_timestamp();
    INSERT INTO work.trees AS t (owner, hash, files, size)
    SELECT session.owner, o.hash, o.files, o.size FROM work.trees AS o WHERE o.id = tree
    ON CONFLICT (owner, hash) DO UPDATE SET used_at = clock_timestamp()
    RETURNING t.id INTO kept;
    INSERT INTO work.tree_files (tree_id, path, blob_id, size, mode)
    SELECT kept, f.path, n.id, f.size, f.mode
    FROM work.tree_files AS f
    JOIN work.blobs AS o ON o.id = f.blob_id
    JOIN work.blobs AS n ON n.owner = session.owner AND n.sha256 = o.sha256
    WHERE f.tree_id = tree AND NOT EXISTS (SELECT FROM work.tree_files AS k WHERE k.tree_id = kept);
    RETURN kept;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
REVOKE ALL ON FUNCTION work.append_messages(uuid, jsonb), work.search_messages(text, uuid, integer),
    work.session_details(uuid, integer, integer), work.make_claim_key(uuid), work.claim_session(text) FROM PUBLIC;
SELECT ferrobase.attempt('reading of sessions, for callers', 'sessions cannot be searched or shown at once', $$
    GRANT EXECUTE ON FUNCTION work.append_messages(uuid, jsonb), work.search_messages(text, uuid, integer),
        work.session_details(uuid, integer, integer), work.make_claim_key(uuid), work.claim_session(text)
        TO authenticated, service_role
$$);
SELECT work_engine.admit();
