-- Why: the files of a session. They change in batches, each one transaction,
-- and paths mean the same on every machine that will ever unpack them.
-- Lock impact: functions only; nothing is locked.

-- One spelling for each file: relative, with single slashes, without dots,
-- composed characters. Null for what is no path: absolute ones, those that
-- climb, control characters, a backslash (a separator elsewhere), and names
-- that file systems refuse for their length.
CREATE FUNCTION work_engine.clean_path(path text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text;
    parts text[] := '{}';
BEGIN
    IF path IS NULL OR octet_length(path) > 1024 OR path ~ '^/|/$|\\|[\x01-\x1f\x7f]' THEN
        RETURN NULL;
    END IF;
    FOREACH part IN ARRAY string_to_array(normalize(path, NFC), '/') LOOP
        CONTINUE WHEN part IN ('', '.');
        IF part = '..' OR octet_length(part) > 255 THEN
            RETURN NULL;
        END IF;
        parts := parts || part;
    END LOOP;
    -- Deeper trees exist, but not as sources of an app.
    IF cardinality(parts) NOT BETWEEN 1 AND 32 THEN
        RETURN NULL;
    END IF;
    -- A drive's letter, also one that stood behind a dot.
    RETURN CASE WHEN parts[1] !~ '^[A-Za-z]:' THEN array_to_string(parts, '/') END;
END;
$$;

CREATE FUNCTION work_engine.need_path(path text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    clean constant text := work_engine.clean_path(path);
BEGIN
    IF clean IS NULL THEN
        RAISE EXCEPTION 'a path is relative, has no "..", no backslash and no control characters, and is at most 1024 bytes long'
            USING ERRCODE = 'PT400', DETAIL = 'invalid_path';
    END IF;
    RETURN clean;
END;
$$;

-- Keeps bytes for an owner. Those that are there already are marked as used,
-- which holds them against the sweeper; once in ten minutes is enough, since it
-- takes nothing that was used in the last hour.
CREATE FUNCTION work_engine.keep_blob(of_owner text, bytes bytea)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept uuid;
BEGIN
    IF bytes IS NULL OR octet_length(bytes) > 8388608 THEN
        RAISE EXCEPTION 'a file of a workspace has at most 8 MiB' USING ERRCODE = 'PT413', DETAIL = 'over_limit';
    END IF;
    SELECT b.id INTO kept FROM work.blobs AS b
    WHERE b.owner = coalesce(of_owner, '') AND b.sha256 = sha256(bytes) AND b.used_at > clock_timestamp() - interval '10 minutes'
    FOR KEY SHARE;
    IF kept IS NOT NULL THEN
        RETURN kept;
    END IF;
    INSERT INTO work.blobs AS b (owner, sha256, size, content)
    VALUES (coalesce(of_owner, ''), sha256(bytes), octet_length(bytes), bytes)
    ON CONFLICT (owner, sha256) DO UPDATE SET used_at = clock_timestamp()
    RETURNING b.id INTO kept;
    RETURN kept;
END;
$$;

-- Bytes that the owner has already, by their hash.
CREATE FUNCTION work_engine.known_blob(of_owner text, hash text)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept uuid;
BEGIN
    IF hash ~ '^[0-9a-f]{64}$' THEN
        UPDATE work.blobs AS b SET used_at = clock_timestamp()
        WHERE b.owner = coalesce(of_owner, '') AND b.sha256 = decode(hash, 'hex')
        RETURNING b.id INTO kept;
    END IF;
    IF kept IS NULL THEN
        RAISE EXCEPTION 'no file with this hash was uploaded; send its content' USING ERRCODE = 'PT409', DETAIL = 'unknown_content';
    END IF;
    RETURN kept;
END;
$$;

CREATE FUNCTION work_engine.change_content(of_owner text, change jsonb)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(change -> 'content') = 'string' THEN
        RETURN work_engine.keep_blob(of_owner, convert_to(change ->> 'content', 'UTF8'));
    ELSIF jsonb_typeof(change -> 'content_base64') = 'string' THEN
        RETURN work_engine.keep_blob(of_owner, decode(change ->> 'content_base64', 'base64'));
    ELSIF jsonb_typeof(change -> 'sha256') = 'string' THEN
        RETURN work_engine.known_blob(of_owner, change ->> 'sha256');
    END IF;
    RAISE EXCEPTION 'a file needs "content", "content_base64" or "sha256"' USING ERRCODE = 'PT400', DETAIL = 'invalid';
EXCEPTION
    WHEN invalid_parameter_value THEN
        RAISE EXCEPTION '"content_base64" is not base64' USING ERRCODE = 'PT400', DETAIL = 'invalid';
END;
$$;

-- Puts one file; refuses when it is not what the writer believes it to be.
CREATE FUNCTION work_engine.put_file(session uuid, at_path text, blob uuid, as_mode text, expected jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before record;
    after record;
BEGIN
    SELECT encode(b.sha256, 'hex') AS hash, f.mode INTO before
    FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
    WHERE f.session_id = session AND f.path = at_path;
    -- Null means: there must be none.
    IF expected IS NOT NULL AND expected IS DISTINCT FROM coalesce(to_jsonb(before.hash), 'null') THEN
        RAISE EXCEPTION 'the file "%" is another by now', at_path USING ERRCODE = 'PT412', DETAIL = 'changed';
    END IF;
    SELECT encode(b.sha256, 'hex') AS hash, b.size INTO after FROM work.blobs AS b WHERE b.id = blob;
    INSERT INTO work.workspace_files AS f (session_id, path, blob_id, size, mode)
    VALUES (session, at_path, blob, after.size, coalesce(as_mode, before.mode, '644'))
    ON CONFLICT (session_id, path) DO UPDATE
    SET blob_id = excluded.blob_id, size = excluded.size, mode = excluded.mode, updated_at = clock_timestamp();
    RETURN jsonb_build_object('path', at_path, 'sha256', after.hash, 'size', after.size,
        'mode', coalesce(as_mode, before.mode, '644'),
        'change', CASE WHEN before.hash IS NULL THEN 'added' WHEN before.hash = after.hash THEN 'same' ELSE 'changed' END);
END;
$$;

CREATE FUNCTION work_engine.drop_file(session uuid, at_path text, expected jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before text;
BEGIN
    SELECT encode(b.sha256, 'hex') INTO before
    FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
    WHERE f.session_id = session AND f.path = at_path;
    IF before IS NULL THEN
        RAISE EXCEPTION 'there is no file "%"', at_path USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    IF expected IS NOT NULL AND expected <> to_jsonb(before) THEN
        RAISE EXCEPTION 'the file "%" is another by now', at_path USING ERRCODE = 'PT412', DETAIL = 'changed';
    END IF;
    DELETE FROM work.workspace_files AS f WHERE f.session_id = session AND f.path = at_path;
    RETURN jsonb_build_object('path', at_path, 'change', 'removed');
END;
$$;

-- A folder or a file under a new name. What lies there already is replaced
-- only by a file.
CREATE FUNCTION work_engine.rename_file(session uuid, from_path text, to_path text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved integer;
BEGIN
    IF from_path = to_path OR starts_with(to_path, from_path || '/') THEN
        RAISE EXCEPTION 'a file cannot become a file below itself' USING ERRCODE = 'PT400', DETAIL = 'invalid_path';
    END IF;
    DELETE FROM work.workspace_files AS f
    WHERE f.session_id = session AND f.path = to_path
      AND EXISTS (SELECT FROM work.workspace_files AS o WHERE o.session_id = session AND o.path = from_path);
    UPDATE work.workspace_files AS f
    SET path = work_engine.need_path(to_path || substr(f.path, length(from_path) + 1)), updated_at = clock_timestamp()
    WHERE f.session_id = session
      AND (f.path = from_path OR (f.path > from_path || '/' AND f.path < from_path || '0'));
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = 0 THEN
        RAISE EXCEPTION 'there is no file "%"', from_path USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN jsonb_build_object('path', to_path, 'from', from_path, 'change', 'renamed', 'files', moved);
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'there are files below "%" already', to_path USING ERRCODE = 'PT409', DETAIL = 'conflict';
END;
$$;

-- What must hold of all files together, once a batch is in. Only the paths that
-- are given are compared with the others; null compares all.
CREATE FUNCTION work_engine.check_workspace(session uuid, paths text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    every record;
    clash text;
    folders text[];
BEGIN
    SELECT count(*) AS files, coalesce(sum(f.size), 0) AS bytes INTO every
    FROM work.workspace_files AS f WHERE f.session_id = session;
    -- A large app without what its package manager fetches has hundreds.
    IF every.files > 10000 OR every.bytes > 268435456 THEN
        RAISE EXCEPTION 'a workspace has at most 10000 files and 256 MiB' USING ERRCODE = 'PT413', DETAIL = 'over_limit';
    END IF;
    IF paths IS NULL THEN
        paths := ARRAY(SELECT f.path FROM work.workspace_files AS f WHERE f.session_id = session);
    END IF;
    -- A file where a folder is wanted: one of the names that lead to a path.
    folders := ARRAY(
        SELECT DISTINCT array_to_string((string_to_array(p, '/'))[1:n], '/')
        FROM unnest(paths) AS p, generate_series(1, cardinality(string_to_array(p, '/')) - 1) AS n);
    SELECT f.path INTO clash
    FROM work.workspace_files AS f
    WHERE f.session_id = session AND f.path = ANY (folders)
    LIMIT 1;
    -- A folder where a file is wanted: something lies below the path. LATERAL
    -- with a limit stays one probe of the index for each, whatever is known of
    -- the table's size.
    IF clash IS NULL THEN
        SELECT p INTO clash
        FROM unnest(paths) AS p CROSS JOIN LATERAL (
            SELECT FROM work.workspace_files AS below
            WHERE below.session_id = session AND below.path > p || '/' AND below.path < p || '0'
            LIMIT 1) AS b
        LIMIT 1;
    END IF;
    IF clash IS NOT NULL THEN
        RAISE EXCEPTION '"%" cannot be a file and a folder', clash USING ERRCODE = 'PT409', DETAIL = 'conflict';
    END IF;
END;
$$;

CREATE FUNCTION work_engine.change_file(session work.sessions, change jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at_path constant text := work_engine.need_path(change ->> 'path');
    unknown text;
BEGIN
    SELECT k INTO unknown FROM jsonb_object_keys(change) AS k
    WHERE k NOT IN ('op', 'path', 'to', 'mode', 'content', 'content_base64', 'sha256', 'if_sha256') LIMIT 1;
    IF unknown IS NOT NULL OR (change ->> 'mode') NOT IN ('644', '755') THEN
        RAISE EXCEPTION 'a change of a file does not know "%"', coalesce(unknown, change ->> 'mode')
            USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    CASE coalesce(change ->> 'op', 'put')
        WHEN 'put' THEN
            RETURN work_engine.put_file(session.id, at_path, work_engine.change_content(session.owner, change),
                change ->> 'mode', change -> 'if_sha256');
        WHEN 'delete' THEN
            RETURN work_engine.drop_file(session.id, at_path, change -> 'if_sha256');
        WHEN 'rename' THEN
            RETURN work_engine.rename_file(session.id, at_path, work_engine.need_path(change ->> 'to'));
        ELSE
            RAISE EXCEPTION 'a change of a file is a "put", a "delete" or a "rename"' USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END CASE;
END;
$$;

-- All changes or none. The event names some paths, as many as are read.
CREATE FUNCTION work.write_files(session_id uuid, changes jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Plans are kept: one made for a table of three files must do for ten thousand.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    session constant work.sessions := work_engine.own_session(write_files.session_id);
    change jsonb;
    -- An array grows in place; a document would be copied for each change.
    items jsonb[] := '{}';
    done jsonb;
BEGIN
    IF jsonb_typeof(changes) IS DISTINCT FROM 'array' OR jsonb_array_length(changes) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a batch has 1 to 1000 changes' USING ERRCODE = 'PT400', DETAIL = 'over_limit';
    END IF;
    FOR change IN SELECT c FROM jsonb_array_elements(changes) AS c LOOP
        IF jsonb_typeof(change) <> 'object' THEN
            RAISE EXCEPTION 'a change of a file is an object' USING ERRCODE = 'PT400', DETAIL = 'invalid';
        END IF;
        items := items || work_engine.change_file(session, change);
    END LOOP;
    done := to_jsonb(items);
    PERFORM work_engine.check_workspace(session.id, (
        SELECT CASE WHEN bool_or(d ->> 'change' = 'renamed') THEN NULL ELSE array_agg(d ->> 'path') END
        FROM jsonb_array_elements(done) AS d WHERE d ->> 'change' <> 'removed'));
    PERFORM work_engine.files_changed(session.id, done);
    RETURN done;
END;
$$;
COMMENT ON FUNCTION work.write_files(uuid, jsonb) IS
    'Changes files of a session: [{op: put|delete|rename, path, to, mode, content | content_base64 | sha256, if_sha256}].';

CREATE FUNCTION work_engine.files_changed(session uuid, done jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told jsonb;
BEGIN
    SELECT jsonb_build_object('count', count(*), 'paths', jsonb_agg(c.item ->> 'path') FILTER (WHERE c.n <= 20)) INTO told
    FROM jsonb_array_elements(done) WITH ORDINALITY AS c (item, n)
    WHERE c.item ->> 'change' <> 'same';
    IF (told ->> 'count')::integer > 0 THEN
        UPDATE work.sessions AS s SET updated_at = clock_timestamp() WHERE s.id = session;
        PERFORM work_engine.say(ARRAY[session], ARRAY[NULL::uuid], 'session.files', ARRAY[told]);
    END IF;
END;
$$;

-- The same for one file whose bytes come as they are.
CREATE FUNCTION work.put_file(session_id uuid, path text, content bytea, mode text DEFAULT NULL, if_sha256 jsonb DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    session constant work.sessions := work_engine.own_session(put_file.session_id);
    done jsonb;
BEGIN
    IF mode NOT IN ('644', '755') THEN
        RAISE EXCEPTION 'a mode is 644 or 755' USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    done := work_engine.put_file(session.id, work_engine.need_path(put_file.path),
        work_engine.keep_blob(session.owner, content), mode, if_sha256);
    PERFORM work_engine.check_workspace(session.id, ARRAY[done ->> 'path']);
    PERFORM work_engine.files_changed(session.id, jsonb_build_array(done));
    RETURN done;
END;
$$;

-- The present files as a tree. The same files are the same tree, whoever of
-- the owner's sessions has them.
CREATE FUNCTION work_engine.keep_tree(session work.sessions)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    every record;
    kept uuid;
BEGIN
    SELECT sha256(convert_to(coalesce(string_agg(
               f.path || E'\n' || f.mode || E'\n' || encode(b.sha256, 'hex') || E'\n', '' ORDER BY f.path), ''), 'UTF8')) AS hash,
           count(*) AS files, coalesce(sum(f.size), 0) AS size
    INTO every
    FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
    WHERE f.session_id = session.id;
    INSERT INTO work.trees AS t (owner, hash, files, size)
    VALUES (coalesce(session.owner, ''), every.hash, every.files, every.size)
    ON CONFLICT (owner, hash) DO UPDATE SET used_at = clock_timestamp()
    RETURNING t.id INTO kept;
    -- Only a tree of before has files by now.
    INSERT INTO work.tree_files (tree_id, path, blob_id, size, mode)
    SELECT kept, f.path, f.blob_id, f.size, f.mode FROM work.workspace_files AS f
    WHERE f.session_id = session.id AND NOT EXISTS (SELECT FROM work.tree_files AS t WHERE t.tree_id = kept);
    RETURN kept;
END;
$$;

-- Makes the files of a session those of a tree; says how many that wrote and removed.
CREATE FUNCTION work_engine.load_tree(session uuid, tree uuid)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed integer;
    written integer;
BEGIN
    DELETE FROM work.workspace_files AS f
    WHERE f.session_id = session
      AND NOT EXISTS (SELECT FROM work.tree_files AS t WHERE t.tree_id = tree AND t.path = f.path);
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO work.workspace_files AS f (session_id, path, blob_id, size, mode)
    SELECT session, t.path, t.blob_id, t.size, t.mode FROM work.tree_files AS t WHERE t.tree_id = tree
    ON CONFLICT (session_id, path) DO UPDATE
    SET blob_id = excluded.blob_id, size = excluded.size, mode = excluded.mode, updated_at = clock_timestamp()
    WHERE (f.blob_id, f.mode) IS DISTINCT FROM (excluded.blob_id, excluded.mode);
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN jsonb_build_object('written', written, 'removed', removed);
END;
$$;

-- Removes trees that no checkpoint has, bytes that no file has, and what was
-- made by jobs that are gone. What was
-- used lately may be about to be used again. The foreign keys hold whatever
-- this overlooks.
CREATE FUNCTION work_engine.sweep_files(most integer, older interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trees integer;
    blobs integer;
    products integer;
BEGIN
    WITH lost_artifacts AS (
        DELETE FROM work.artifacts AS a WHERE a.id IN (
            SELECT o.id FROM work.artifacts AS o WHERE o.session_id IS NULL AND o.job_id IS NULL
            LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ), lost_runs AS (
        DELETE FROM work.tool_runs AS t WHERE t.id IN (
            SELECT o.id FROM work.tool_runs AS o WHERE o.session_id IS NULL AND o.job_id IS NULL
            LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM lost_artifacts) + (SELECT count(*) FROM lost_runs) INTO products;
    DELETE FROM work.trees AS t WHERE t.id IN (
        SELECT o.id FROM work.trees AS o
        WHERE o.used_at < clock_timestamp() - older
          AND NOT EXISTS (SELECT FROM work.checkpoints AS c WHERE c.tree_id = o.id)
        ORDER BY o.used_at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS trees = ROW_COUNT;
    DELETE FROM work.blobs AS b WHERE b.id IN (
        SELECT o.id FROM work.blobs AS o
        WHERE o.used_at < clock_timestamp() - older
          AND NOT EXISTS (SELECT FROM work.workspace_files AS f WHERE f.blob_id = o.id)
          AND NOT EXISTS (SELECT FROM work.tree_files AS f WHERE f.blob_id = o.id)
        ORDER BY o.used_at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS blobs = ROW_COUNT;
    RETURN trees + blobs + products;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
REVOKE ALL ON FUNCTION work.write_files(uuid, jsonb), work.put_file(uuid, text, bytea, text, jsonb) FROM PUBLIC;
SELECT ferrobase.attempt('files of sessions, for callers', 'files cannot be written', $$
    GRANT EXECUTE ON FUNCTION work.write_files(uuid, jsonb), work.put_file(uuid, text, bytea, text, jsonb)
        TO authenticated, service_role
$$);
SELECT work_engine.admit();
