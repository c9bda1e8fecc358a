-- Why: who may see and write what belongs to a session, and what its log says
-- of it. Rows written by plain REST and by the room pass the same triggers, so
-- the log is complete whichever way a client writes.
-- Lock impact: policies, triggers and grants on tables of 0031 and on
-- work.sessions, which are not in use yet when this runs.

-- Whether the caller is stopped by no policy: a service key, an operator, or
-- the engine itself. `role` names who asks even inside a function that runs as
-- its owner.
CREATE FUNCTION work_engine.unrestricted()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT current_setting('role') = 'ferrobase_work' OR coalesce((
        SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles AS r
        WHERE r.rolname = CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END
    ), false)
$$;

-- A session that the caller may change, locked against others who change it.
-- Somebody else's is answered like one that does not exist.
CREATE FUNCTION work_engine.own_session(which uuid)
RETURNS work.sessions
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found work.sessions;
BEGIN
    SELECT s.* INTO found FROM work.sessions AS s
    WHERE s.id = which AND (s.owner = work.me() OR work_engine.unrestricted())
    FOR NO KEY UPDATE;
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN found;
END;
$$;

CREATE FUNCTION work_engine.owner_word(owner text)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
-- No text that is searched can become this word: digits and letters never follow a colon in one.
AS $$ SELECT 'owner:' || encode(sha256(convert_to(coalesce(owner, ''), 'UTF8')), 'hex') $$;

CREATE FUNCTION work_engine.message_words(content text, owner text)
RETURNS tsvector
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
-- Longer texts are found by their beginning: a tsvector is at most a megabyte.
AS $$
    SELECT to_tsvector('simple'::regconfig, left(content, 200000))
        || array_to_tsvector(ARRAY[work_engine.owner_word(owner)])
$$;

CREATE FUNCTION work_engine.message_comes()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Plans are kept: one made for an empty table must do for an import.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    parent work.sessions;
BEGIN
    -- Before the policy can refuse: who may not write here learns no more than
    -- that there is nothing.
    parent := work_engine.own_session(NEW.session_id);
    IF TG_OP = 'INSERT' THEN
        -- Rows of this very statement are not in the session's counter yet.
        SELECT greatest(parent.message_seq, max(m.seq)) + 1 INTO NEW.seq
        FROM work.messages AS m WHERE m.session_id = NEW.session_id;
    END IF;
    NEW.search := work_engine.message_words(NEW.content, parent.owner);
    RETURN NEW;
END;
$$;
CREATE TRIGGER comes BEFORE INSERT ON work.messages
    FOR EACH ROW EXECUTE FUNCTION work_engine.message_comes();
CREATE TRIGGER changes BEFORE UPDATE OF content, session_id ON work.messages
    FOR EACH ROW EXECUTE FUNCTION work_engine.message_comes();

-- One event for each message, or one for all of a large import.
CREATE FUNCTION work_engine.messages_came()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE work.sessions AS s
    SET message_seq = f.last, updated_at = greatest(s.updated_at, f.at)
    FROM (SELECT n.session_id, max(n.seq) AS last, max(n.created_at) AS at FROM fresh AS n GROUP BY n.session_id) AS f
    WHERE s.id = f.session_id;
    IF (SELECT count(*) FROM fresh) <= 100 THEN
        PERFORM work_engine.say(array_agg(n.session_id ORDER BY n.session_id, n.seq),
            array_agg(n.job_id ORDER BY n.session_id, n.seq), 'session.message',
            array_agg(jsonb_build_object('id', n.id, 'seq', n.seq, 'role', n.role) ORDER BY n.session_id, n.seq))
        FROM fresh AS n;
    ELSE
        PERFORM work_engine.say(array_agg(g.session_id), array_agg(NULL::uuid), 'session.messages', array_agg(g.told))
        FROM (
            SELECT n.session_id, jsonb_build_object('first', min(n.seq), 'last', max(n.seq), 'count', count(*)) AS told
            FROM fresh AS n GROUP BY n.session_id
        ) AS g;
    END IF;
    RETURN NULL;
END;
$$;

-- Events of one kind, to streams that exist: a session that is being deleted
-- has none. Who watches is woken here: people write to sessions, machines do
-- not, so that the lock of notifications is no matter.
CREATE FUNCTION work_engine.say(streams uuid[], jobs uuid[], kind text, data jsonb[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told record;
BEGIN
    SELECT array_agg(t.stream ORDER BY t.n) AS streams, array_agg(t.job ORDER BY t.n) AS jobs,
           array_agg(say.kind ORDER BY t.n) AS kinds, array_agg(t.told ORDER BY t.n) AS data
    INTO told
    FROM unnest(streams, jobs, data) WITH ORDINALITY AS t (stream, job, told, n)
    WHERE EXISTS (SELECT FROM work.streams AS s WHERE s.id = t.stream);
    IF told.streams IS NOT NULL THEN
        PERFORM work_engine.append(told.streams, told.jobs, told.kinds, told.data);
        PERFORM pg_notify('ferrobase_work', CASE WHEN cardinality(told.streams) > 100 THEN '{"all":true}'
            ELSE jsonb_build_object('s', ARRAY(SELECT DISTINCT s FROM unnest(told.streams) AS s))::text END);
    END IF;
END;
$$;
CREATE TRIGGER came AFTER INSERT ON work.messages REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION work_engine.messages_came();

CREATE FUNCTION work_engine.messages_went()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(array_agg(g.session_id), array_agg(NULL::uuid), 'session.messages_deleted', array_agg(g.told))
    FROM (
        SELECT o.session_id, jsonb_build_object('first', min(o.seq), 'last', max(o.seq), 'count', count(*)) AS told
        FROM gone AS o GROUP BY o.session_id
    ) AS g;
    RETURN NULL;
END;
$$;
CREATE TRIGGER went AFTER DELETE ON work.messages REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION work_engine.messages_went();

-- An answer that is still being written. Being put aside is told by the
-- restored checkpoint.
CREATE FUNCTION work_engine.message_changed()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(ARRAY[NEW.session_id], ARRAY[NEW.job_id], 'session.message_changed',
        ARRAY[jsonb_build_object('id', NEW.id, 'seq', NEW.seq, 'role', NEW.role)]);
    RETURN NULL;
END;
$$;
CREATE TRIGGER changed AFTER UPDATE ON work.messages FOR EACH ROW
    WHEN ((OLD.content, OLD.parts, OLD.metadata) IS DISTINCT FROM (NEW.content, NEW.parts, NEW.metadata))
    EXECUTE FUNCTION work_engine.message_changed();

-- A session's log has the session's id. The id may be the client's choice, but
-- not that of a log which belongs to something else.
CREATE FUNCTION work_engine.session_came()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO work.streams (id, owner) VALUES (NEW.id, NEW.owner) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this id is taken' USING ERRCODE = 'PT409', DETAIL = 'conflict';
    END IF;
    PERFORM work_engine.say(ARRAY[NEW.id], ARRAY[NULL::uuid], 'session.created', ARRAY[jsonb_build_object('title', NEW.title)]);
    RETURN NULL;
END;
$$;
CREATE TRIGGER came AFTER INSERT ON work.sessions FOR EACH ROW EXECUTE FUNCTION work_engine.session_came();

CREATE FUNCTION work_engine.session_changed()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM work.streams AS s WHERE s.id = OLD.id;
        DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = OLD.id;
        RETURN NULL;
    END IF;
    PERFORM work_engine.say(ARRAY[NEW.id], ARRAY[NULL::uuid], 'session.changed',
        ARRAY[jsonb_build_object('title', NEW.title, 'status', NEW.status)]);
    RETURN NULL;
END;
$$;
CREATE TRIGGER changed AFTER UPDATE ON work.sessions FOR EACH ROW
    WHEN ((OLD.title, OLD.status, OLD.metadata) IS DISTINCT FROM (NEW.title, NEW.status, NEW.metadata))
    EXECUTE FUNCTION work_engine.session_changed();
CREATE TRIGGER went AFTER DELETE ON work.sessions FOR EACH ROW EXECUTE FUNCTION work_engine.session_changed();
-- Counting messages is no change of the session; their own times are.
DROP TRIGGER touch ON work.sessions;
CREATE TRIGGER touch BEFORE UPDATE ON work.sessions FOR EACH ROW
    WHEN (OLD.message_seq = NEW.message_seq AND OLD.updated_at = NEW.updated_at)
    EXECUTE FUNCTION work_engine.touch();

-- An artifact or a tool run of a job belongs to the job's session.
CREATE FUNCTION work_engine.product_comes()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_job uuid;
BEGIN
    -- As the caller: a job that the caller cannot see is none.
    IF NEW.job_id IS NOT NULL THEN
        SELECT j.session_id INTO of_job FROM work.jobs AS j WHERE j.id = NEW.job_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no such job' USING ERRCODE = 'PT404', DETAIL = 'not_found';
        END IF;
        IF NEW.session_id IS DISTINCT FROM of_job AND NEW.session_id IS NOT NULL THEN
            RAISE EXCEPTION 'the job is of another session' USING ERRCODE = 'PT400', DETAIL = 'invalid';
        END IF;
        NEW.session_id := of_job;
    ELSIF NEW.session_id IS NULL THEN
        RAISE EXCEPTION 'it belongs to a session or to a job' USING ERRCODE = 'PT400', DETAIL = 'invalid';
    ELSIF NOT EXISTS (SELECT FROM work.sessions AS s WHERE s.id = NEW.session_id) THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER comes BEFORE INSERT ON work.artifacts FOR EACH ROW EXECUTE FUNCTION work_engine.product_comes();
CREATE TRIGGER comes BEFORE INSERT ON work.tool_runs FOR EACH ROW EXECUTE FUNCTION work_engine.product_comes();

CREATE FUNCTION work_engine.artifacts_came()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(array_agg(coalesce(n.session_id, j.stream_id) ORDER BY n.id), array_agg(n.job_id ORDER BY n.id),
        'artifact.created', array_agg(jsonb_build_object(
            'id', n.id, 'type', n.type, 'name', n.name, 'uri', left(n.uri, 1000), 'size', n.size) ORDER BY n.id))
    FROM fresh AS n LEFT JOIN work.jobs AS j ON j.id = n.job_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER came AFTER INSERT ON work.artifacts REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION work_engine.artifacts_came();

CREATE FUNCTION work_engine.tool_runs_came()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(array_agg(coalesce(n.session_id, j.stream_id) ORDER BY n.id), array_agg(n.job_id ORDER BY n.id),
        'tool.run', array_agg(jsonb_build_object(
            'id', n.id, 'tool', n.tool, 'failed', n.error IS NOT NULL, 'duration_ms', n.duration_ms) ORDER BY n.id))
    FROM fresh AS n LEFT JOIN work.jobs AS j ON j.id = n.job_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER came AFTER INSERT ON work.tool_runs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION work_engine.tool_runs_came();

CREATE FUNCTION work_engine.sandboxes_came()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(array_agg(n.session_id ORDER BY n.id), array_agg(NULL::uuid), 'session.sandbox',
        array_agg(jsonb_build_object('id', n.id, 'status', n.status, 'url', left(n.url, 1000)) ORDER BY n.id))
    FROM fresh AS n;
    RETURN NULL;
END;
$$;
CREATE TRIGGER came AFTER INSERT ON work.sandboxes REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION work_engine.sandboxes_came();
CREATE FUNCTION work_engine.sandbox_changed()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.say(ARRAY[NEW.session_id], ARRAY[NULL::uuid], 'session.sandbox',
        ARRAY[jsonb_build_object('id', NEW.id, 'status', NEW.status, 'url', left(NEW.url, 1000))]);
    RETURN NULL;
END;
$$;
-- That it was seen again is no news.
CREATE TRIGGER changed AFTER UPDATE ON work.sandboxes FOR EACH ROW
    WHEN ((OLD.status, OLD.url) IS DISTINCT FROM (NEW.status, NEW.url))
    EXECUTE FUNCTION work_engine.sandbox_changed();

-- Who sees what: that of a session or job that one sees, and bytes of one's own.
DO $$
DECLARE
    tab text;
    seen constant text := 'EXISTS (SELECT FROM work.sessions AS s WHERE s.id = session_id)';
    product constant text := 'CASE WHEN session_id IS NOT NULL THEN EXISTS (SELECT FROM work.sessions AS s WHERE s.id = session_id)'
        ' ELSE job_id IS NOT NULL AND EXISTS (SELECT FROM work.jobs AS j WHERE j.id = job_id) END';
BEGIN
    FOREACH tab IN ARRAY ARRAY['messages', 'workspace_files', 'checkpoints', 'sandboxes'] LOOP
        EXECUTE format('ALTER TABLE work.%I ENABLE ROW LEVEL SECURITY', tab);
        EXECUTE format('CREATE POLICY own ON work.%I FOR SELECT USING (%s)', tab, seen);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['messages', 'sandboxes'] LOOP
        EXECUTE format('CREATE POLICY make_own ON work.%I FOR INSERT WITH CHECK (%s)', tab, seen);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['messages', 'checkpoints', 'sandboxes'] LOOP
        EXECUTE format('CREATE POLICY change_own ON work.%I FOR UPDATE USING (%s) WITH CHECK (%s)', tab, seen, seen);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['messages', 'checkpoints', 'sandboxes'] LOOP
        EXECUTE format('CREATE POLICY drop_own ON work.%I FOR DELETE USING (%s)', tab, seen);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['artifacts', 'tool_runs'] LOOP
        EXECUTE format('ALTER TABLE work.%I ENABLE ROW LEVEL SECURITY', tab);
        EXECUTE format('CREATE POLICY own ON work.%I FOR SELECT USING (%s)', tab, product);
        EXECUTE format('CREATE POLICY make_own ON work.%I FOR INSERT WITH CHECK (%s)', tab, product);
        EXECUTE format('CREATE POLICY drop_own ON work.%I FOR DELETE USING (%s)', tab, product);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['blobs', 'trees'] LOOP
        EXECUTE format('ALTER TABLE work.%I ENABLE ROW LEVEL SECURITY', tab);
        -- Nobody is the owner of what has none.
        EXECUTE format('CREATE POLICY own ON work.%I FOR SELECT USING (owner = (SELECT work.me()) AND owner <> '''')', tab);
    END LOOP;
    ALTER TABLE work.tree_files ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON work.tree_files FOR SELECT USING (EXISTS (SELECT FROM work.trees AS t WHERE t.id = tree_id));
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT ferrobase.attempt('what belongs to sessions, for callers', 'messages, files and checkpoints cannot be read', $$
    GRANT SELECT ON work.messages, work.workspace_files, work.blobs, work.trees, work.tree_files, work.checkpoints,
        work.artifacts, work.tool_runs, work.sandboxes TO authenticated, service_role;
    REVOKE INSERT, UPDATE ON work.sessions FROM authenticated, service_role;
    GRANT INSERT (id, key, owner, title, status, metadata, keep_checkpoints, created_at, updated_at),
        UPDATE (key, title, status, metadata, keep_checkpoints) ON work.sessions TO authenticated, service_role;
    GRANT INSERT (id, session_id, key, role, content, parts, metadata, job_id, created_at),
        UPDATE (content, parts, metadata), DELETE ON work.messages TO authenticated, service_role;
    GRANT UPDATE (label, snapshot_ref, metadata), DELETE ON work.checkpoints TO authenticated, service_role;
    GRANT INSERT, DELETE ON work.artifacts, work.tool_runs TO authenticated, service_role;
    GRANT INSERT, UPDATE (url, status, last_seen_at, metadata), DELETE ON work.sandboxes TO authenticated, service_role
$$);
SELECT work_engine.admit();
