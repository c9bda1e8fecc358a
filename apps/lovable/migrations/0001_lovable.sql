-- Why: the original's three tables, as views on schema work: one truth for
-- sessions, files and messages, whoever looks. Policies of the tables below
-- decide who sees what (the views run as their caller), so nothing is shared
-- between owners, and nothing between sessions of one owner.
-- Lock impact: creates new objects only; no existing relation is locked.

CREATE SCHEMA lovable;
COMMENT ON SCHEMA lovable IS 'Lovable clone: sessions, their code and conversations. Views on schema work, under its row-level security.';
REVOKE ALL ON SCHEMA lovable FROM PUBLIC;
GRANT USAGE ON SCHEMA lovable TO authenticated, service_role;

-- Bytes as text; null for what is no text, so that a picture breaks no list.
CREATE FUNCTION lovable.text_of(bytes bytea) RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN NULL;
END;
$$;

CREATE VIEW lovable.sessions WITH (security_invoker = true) AS
SELECT s.id,
       -- The client's own name; the id for sessions that were forked.
       coalesce(s.key, s.id::text) AS session_id,
       (SELECT b.url FROM work.sandboxes AS b WHERE b.session_id = s.id AND b.status = 'active'
        ORDER BY b.last_seen_at DESC, b.id DESC LIMIT 1) AS project_url,
       s.created_at, s.updated_at, s.owner AS user_id, s.metadata
FROM work.sessions AS s
WHERE s.metadata ->> 'app' = 'lovable' AND s.status <> 'deleted';

-- What lies under src/, by its path there, as the original keeps it.
CREATE VIEW lovable.code_files WITH (security_invoker = true) AS
SELECT f.session_id AS session, s.session_id, substr(f.path, 5) AS file_path, lovable.text_of(b.content) AS content,
       f.updated_at
FROM work.workspace_files AS f
JOIN lovable.sessions AS s ON s.id = f.session_id
JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.path LIKE 'src/%';

CREATE VIEW lovable.conversations WITH (security_invoker = true) AS
SELECT m.id, s.session_id, m.role, m.content, m.created_at
FROM work.messages AS m
JOIN lovable.sessions AS s ON s.id = m.session_id
WHERE m.superseded_at IS NULL AND m.role IN ('user', 'assistant', 'system');

-- Sessions by the name that clients know. Somebody else's is none.
CREATE FUNCTION lovable.session_of(name text) RETURNS uuid
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id FROM lovable.sessions AS s
    WHERE s.session_id = name AND s.user_id = work.me()
    ORDER BY s.created_at LIMIT 1
$$;

CREATE FUNCTION lovable.need_session(name text) RETURNS uuid
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found constant uuid := lovable.session_of(name);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN found;
END;
$$;

-- Writing to the views, with the original's meaning: saving a file again
-- replaces it.
CREATE FUNCTION lovable.write_session() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Its name is free again: who keeps it may begin anew.
        UPDATE work.sessions AS s SET key = NULL WHERE s.id = OLD.id;
        PERFORM work.delete_session(OLD.id);
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE work.sessions AS s SET metadata = coalesce(NEW.metadata, '{}') || '{"app": "lovable"}' WHERE s.id = OLD.id;
        RETURN NEW;
    END IF;
    INSERT INTO work.sessions AS s (key, metadata)
    VALUES (NEW.session_id, coalesce(NEW.metadata, '{}') || '{"app": "lovable"}')
    RETURNING s.id, s.created_at, s.updated_at, s.owner, s.metadata
    INTO NEW.id, NEW.created_at, NEW.updated_at, NEW.user_id, NEW.metadata;
    RETURN NEW;
END;
$$;
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON lovable.sessions
    FOR EACH ROW EXECUTE FUNCTION lovable.write_session();

CREATE FUNCTION lovable.write_code_file() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM work.write_files(OLD.session, jsonb_build_array(jsonb_build_object('op', 'delete', 'path', 'src/' || OLD.file_path)));
        RETURN OLD;
    END IF;
    NEW.session := CASE WHEN TG_OP = 'UPDATE' THEN OLD.session ELSE lovable.need_session(NEW.session_id) END;
    IF TG_OP = 'UPDATE' AND NEW.file_path <> OLD.file_path THEN
        RAISE EXCEPTION 'a file keeps its path; save it at the other one' USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    -- Joined with a dot, a path that begins with a slash would become a good one.
    IF NEW.file_path LIKE '/%' THEN
        RAISE EXCEPTION 'a path is relative to src' USING ERRCODE = 'PT400', DETAIL = 'invalid_path';
    END IF;
    PERFORM work.write_files(NEW.session, jsonb_build_array(jsonb_build_object(
        'op', 'put', 'path', 'src/' || NEW.file_path, 'content', NEW.content)));
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON lovable.code_files
    FOR EACH ROW EXECUTE FUNCTION lovable.write_code_file();

CREATE FUNCTION lovable.write_conversation() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM work.messages AS m WHERE m.id = OLD.id;
        RETURN OLD;
    END IF;
    INSERT INTO work.messages AS m (session_id, role, content)
    VALUES (lovable.need_session(NEW.session_id), NEW.role, NEW.content)
    RETURNING m.id, m.created_at INTO NEW.id, NEW.created_at;
    RETURN NEW;
END;
$$;
CREATE TRIGGER write INSTEAD OF INSERT OR DELETE ON lovable.conversations
    FOR EACH ROW EXECUTE FUNCTION lovable.write_conversation();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA lovable FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lovable.text_of(bytea), lovable.session_of(text), lovable.need_session(text)
    TO authenticated, service_role;
GRANT SELECT, DELETE ON lovable.sessions, lovable.code_files, lovable.conversations TO authenticated, service_role;
GRANT INSERT (session_id, metadata), UPDATE (metadata) ON lovable.sessions TO authenticated, service_role;
GRANT INSERT (session_id, file_path, content), UPDATE (content) ON lovable.code_files TO authenticated, service_role;
GRANT INSERT (session_id, role, content) ON lovable.conversations TO authenticated, service_role;
