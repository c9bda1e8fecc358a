-- Why: checkpoints of sessions: made, gone back to, forked from, compared.
-- Going back loses nothing: what was there is a checkpoint itself, and messages
-- are put aside, not deleted.
-- Lock impact: functions only; nothing is locked.

-- A checkpoint that the caller may use, held against its deletion.
CREATE FUNCTION work_engine.own_checkpoint(which uuid)
RETURNS work.checkpoints
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found work.checkpoints;
BEGIN
    SELECT c.* INTO found
    FROM work.checkpoints AS c JOIN work.sessions AS s ON s.id = c.session_id
    WHERE c.id = which AND (s.owner = work.me() OR work_engine.unrestricted())
    FOR KEY SHARE OF c;
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'there is no such checkpoint' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN found;
END;
$$;

CREATE FUNCTION work_engine.make_checkpoint(session work.sessions, called text, snapshot text, about jsonb)
RETURNS work.checkpoints
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made work.checkpoints;
BEGIN
    -- Labelled ones are kept until somebody deletes them.
    IF called IS NOT NULL
       AND (SELECT count(*) FROM work.checkpoints AS c WHERE c.session_id = session.id AND c.label IS NOT NULL) >= 1000 THEN
        RAISE EXCEPTION 'a session has at most 1000 checkpoints with a label' USING ERRCODE = 'PT409', DETAIL = 'over_limit';
    END IF;
    INSERT INTO work.checkpoints AS c
        (session_id, label, message_seq, messages, tree_id, event_seq, job_cursor, snapshot_ref, metadata)
    VALUES (
        session.id, called, session.message_seq,
        coalesce((
            SELECT range_agg(int8range(m.seq, m.seq, '[]')) FROM work.messages AS m
            WHERE m.session_id = session.id AND m.superseded_at IS NULL), '{}'),
        work_engine.keep_tree(session),
        coalesce((SELECT s.last_seq FROM work.streams AS s WHERE s.id = session.id), 0),
        (SELECT j.id FROM work.jobs AS j WHERE j.session_id = session.id ORDER BY j.created_at DESC, j.id DESC LIMIT 1),
        snapshot, coalesce(about, '{}'))
    RETURNING c.* INTO made;
    DELETE FROM work.checkpoints AS c
    WHERE c.session_id = session.id AND c.label IS NULL AND c.id <> made.id AND c.id NOT IN (
        SELECT k.id FROM work.checkpoints AS k WHERE k.session_id = session.id AND k.label IS NULL
        ORDER BY k.created_at DESC, k.id DESC LIMIT session.keep_checkpoints);
    PERFORM work_engine.say(ARRAY[session.id], ARRAY[NULL::uuid], 'session.checkpoint',
        ARRAY[jsonb_build_object('id', made.id, 'label', made.label, 'message_seq', made.message_seq)]);
    RETURN made;
END;
$$;

CREATE FUNCTION work.create_checkpoint(
    session_id uuid, label text DEFAULT NULL, snapshot_ref text DEFAULT NULL, metadata jsonb DEFAULT '{}')
RETURNS work.checkpoints
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT work_engine.make_checkpoint(work_engine.own_session($1), $2, $3, $4) $$;
COMMENT ON FUNCTION work.create_checkpoint(uuid, text, text, jsonb) IS
    'Keeps where a session stands. Without a label it is automatic, and only the newest of those are kept.';

-- Jobs of a session that still run, stopped as the caller says. Only tops: what
-- is below them goes with them.
CREATE FUNCTION work_engine.stop_jobs(session uuid, how text, reason text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    top uuid;
    stopped integer := 0;
BEGIN
    IF how NOT IN ('keep', 'cancel', 'pause') OR how IS NULL THEN
        RAISE EXCEPTION 'jobs are kept, cancelled or paused: "keep", "cancel" or "pause"'
            USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    FOR top IN
        SELECT j.id FROM work.jobs AS j
        WHERE how <> 'keep' AND j.session_id = session AND j.state IN ('queued', 'running', 'paused')
          AND NOT EXISTS (SELECT FROM work.jobs AS p WHERE p.id = j.parent_id AND p.session_id = session
                          AND p.state IN ('queued', 'running', 'paused'))
        ORDER BY j.id
    LOOP
        IF how = 'cancel' THEN
            PERFORM work_engine.cancel(top, reason);
        ELSE
            PERFORM work_engine.pause(top);
        END IF;
        stopped := stopped + 1;
    END LOOP;
    RETURN stopped;
END;
$$;

CREATE FUNCTION work.restore_checkpoint(checkpoint_id uuid, messages boolean DEFAULT false, jobs text DEFAULT 'keep')
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    goal work.checkpoints := work_engine.own_checkpoint(checkpoint_id);
    session work.sessions;
    before work.checkpoints;
    files jsonb;
    stopped integer;
    aside integer := 0;
    back integer := 0;
BEGIN
    -- Jobs are locked before the session is, as everywhere.
    stopped := work_engine.stop_jobs(goal.session_id, restore_checkpoint.jobs, 'checkpoint restored');
    session := work_engine.own_session(goal.session_id);
    -- The checkpoint that we go back to must not make room for this one.
    session.keep_checkpoints := session.keep_checkpoints + 1;
    before := work_engine.make_checkpoint(session, NULL, NULL, jsonb_build_object('before_restore', goal.id));
    files := work_engine.load_tree(session.id, goal.tree_id);
    IF restore_checkpoint.messages THEN
        UPDATE work.messages AS m SET superseded_at = clock_timestamp()
        WHERE m.session_id = session.id AND m.superseded_at IS NULL AND NOT m.seq <@ goal.messages;
        GET DIAGNOSTICS aside = ROW_COUNT;
        UPDATE work.messages AS m SET superseded_at = NULL
        WHERE m.session_id = session.id AND m.superseded_at IS NOT NULL AND m.seq <@ goal.messages;
        GET DIAGNOSTICS back = ROW_COUNT;
    END IF;
    UPDATE work.sessions AS s SET updated_at = clock_timestamp() WHERE s.id = session.id;
    PERFORM work_engine.say(ARRAY[session.id], ARRAY[NULL::uuid], 'session.restored', ARRAY[jsonb_build_object(
        'checkpoint', goal.id, 'label', goal.label, 'before', before.id, 'files', files,
        'messages_superseded', aside, 'messages_restored', back, 'jobs_stopped', stopped)]);
    RETURN jsonb_build_object('checkpoint_id', goal.id, 'before_id', before.id, 'files', files,
        'messages_superseded', aside, 'messages_restored', back, 'jobs_stopped', stopped);
END;
$$;
COMMENT ON FUNCTION work.restore_checkpoint(uuid, boolean, text) IS
    'Makes a session''s files, and its messages if asked, those of a checkpoint; jobs: keep, cancel or pause.';

CREATE FUNCTION work.fork_session(
    checkpoint_id uuid, title text DEFAULT NULL, key text DEFAULT NULL, metadata jsonb DEFAULT '{}')
RETURNS work.sessions
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    start work.checkpoints := work_engine.own_checkpoint(checkpoint_id);
    parent work.sessions;
    fork work.sessions;
BEGIN
    SELECT s.* INTO parent FROM work.sessions AS s WHERE s.id = start.session_id;
    INSERT INTO work.sessions AS s (owner, title, key, metadata, keep_checkpoints, forked_from)
    VALUES (parent.owner, coalesce(fork_session.title, parent.title), fork_session.key,
            parent.metadata || coalesce(fork_session.metadata, '{}'), parent.keep_checkpoints, parent.id)
    RETURNING s.* INTO fork;
    -- Numbered anew, in their order. Keys are the client's, and stay.
    INSERT INTO work.messages (session_id, key, role, content, parts, metadata, created_at)
    SELECT fork.id, m.key, m.role, m.content, m.parts, m.metadata, m.created_at
    FROM work.messages AS m
    WHERE m.session_id = parent.id AND m.seq <@ start.messages
    ORDER BY m.seq;
    PERFORM work_engine.load_tree(fork.id, start.tree_id);
    PERFORM work_engine.say(ARRAY[parent.id, fork.id], ARRAY[NULL, NULL]::uuid[], 'session.forked', array_fill(
        jsonb_build_object('from', parent.id, 'to', fork.id, 'checkpoint', start.id), ARRAY[2]));
    SELECT s.* INTO fork FROM work.sessions AS s WHERE s.id = fork.id;
    RETURN fork;
END;
$$;
COMMENT ON FUNCTION work.fork_session(uuid, text, text, jsonb) IS
    'A new session that begins where a checkpoint stands: its messages and its files.';

-- The files of a checkpoint, or those of a session as they are.
CREATE FUNCTION work_engine.files_at(session uuid, tree uuid)
RETURNS TABLE (path text, blob_id uuid, size bigint, mode text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.path, t.blob_id, t.size, t.mode FROM work.tree_files AS t WHERE t.tree_id = tree
    UNION ALL
    SELECT f.path, f.blob_id, f.size, f.mode FROM work.workspace_files AS f WHERE tree IS NULL AND f.session_id = session
$$;

-- What differs between two checkpoints, or between one and now. The contents
-- of small files come along for whoever shows the difference: at most
-- `most_texts` files of at most 128 KiB on each side.
CREATE FUNCTION work.diff_files(checkpoint_id uuid, other_id uuid DEFAULT NULL, most_texts integer DEFAULT 0)
RETURNS TABLE (
    path text, change text, before_sha256 text, after_sha256 text, before_size bigint, after_size bigint,
    before_mode text, after_mode text, before_content bytea, after_content bytea)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one constant work.checkpoints := work_engine.seen_checkpoint(checkpoint_id);
    two work.checkpoints;
BEGIN
    IF other_id IS NOT NULL THEN
        two := work_engine.seen_checkpoint(other_id);
    END IF;
    RETURN QUERY
    SELECT d.path,
        CASE WHEN d.old IS NULL THEN 'added' WHEN d.new IS NULL THEN 'removed' ELSE 'changed' END,
        encode(o.sha256, 'hex'), encode(n.sha256, 'hex'), d.old_size, d.new_size, d.old_mode, d.new_mode,
        CASE WHEN d.shown THEN o.content END, CASE WHEN d.shown THEN n.content END
    FROM (
        SELECT c.*, coalesce(c.old_size, 0) <= 131072 AND coalesce(c.new_size, 0) <= 131072
                AND row_number() OVER (ORDER BY c.path) <= most_texts AS shown
        FROM (
            SELECT coalesce(a.path, b.path) AS path, a.blob_id AS old, b.blob_id AS new,
                   a.size AS old_size, b.size AS new_size, a.mode AS old_mode, b.mode AS new_mode
            FROM work_engine.files_at(one.session_id, one.tree_id) AS a
            FULL JOIN work_engine.files_at(one.session_id, two.tree_id) AS b ON a.path = b.path
            WHERE (a.blob_id, a.mode) IS DISTINCT FROM (b.blob_id, b.mode)
        ) AS c
    ) AS d
    LEFT JOIN work.blobs AS o ON o.id = d.old
    LEFT JOIN work.blobs AS n ON n.id = d.new
    ORDER BY d.path;
END;
$$;

-- As own_checkpoint, for readers: a transaction that may write nothing cannot lock.
CREATE FUNCTION work_engine.seen_checkpoint(which uuid)
RETURNS work.checkpoints
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found work.checkpoints;
BEGIN
    SELECT c.* INTO found
    FROM work.checkpoints AS c JOIN work.sessions AS s ON s.id = c.session_id
    WHERE c.id = which AND (s.owner = work.me() OR work_engine.unrestricted());
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'there is no such checkpoint' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    RETURN found;
END;
$$;

-- Deletes a session: for the eye, or with everything that belongs to it. Jobs
-- end either way.
CREATE FUNCTION work.delete_session(session_id uuid, hard boolean DEFAULT false)
RETURNS work.sessions
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session work.sessions;
BEGIN
    IF NOT EXISTS (SELECT FROM work.sessions AS s
                   WHERE s.id = delete_session.session_id AND (s.owner = work.me() OR work_engine.unrestricted())) THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    PERFORM work_engine.stop_jobs(delete_session.session_id, 'cancel', 'session deleted');
    session := work_engine.own_session(delete_session.session_id);
    IF hard THEN
        DELETE FROM work.sessions AS s WHERE s.id = session.id;
    ELSE
        UPDATE work.sessions AS s SET status = 'deleted' WHERE s.id = session.id RETURNING s.* INTO session;
    END IF;
    RETURN session;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
REVOKE ALL ON FUNCTION work.create_checkpoint(uuid, text, text, jsonb), work.restore_checkpoint(uuid, boolean, text),
    work.fork_session(uuid, text, text, jsonb), work.diff_files(uuid, uuid, integer), work.delete_session(uuid, boolean) FROM PUBLIC;
SELECT ferrobase.attempt('checkpoints of sessions, for callers', 'checkpoints cannot be made', $$
    GRANT EXECUTE ON FUNCTION work.create_checkpoint(uuid, text, text, jsonb), work.restore_checkpoint(uuid, boolean, text),
        work.fork_session(uuid, text, text, jsonb), work.diff_files(uuid, uuid, integer), work.delete_session(uuid, boolean)
        TO authenticated, service_role
$$);
SELECT work_engine.admit();
