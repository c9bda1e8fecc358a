-- Why: a turn is a tree of jobs. It is begun together with the row of what the
-- user said: neither is there without the other. What the page shows comes
-- out of one statement. Everything runs as the caller.
-- Lock impact: functions only; nothing is locked.

-- One at a time begins, restores or forks in a session.
CREATE FUNCTION lovable.take_turns(in_session uuid) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_advisory_xact_lock(hashtextextended('lovable:' || in_session, 0)) $$;

-- The steps of a turn as jobs, each after the one before it. The first one
-- waits for the turn before, if that is not over.
CREATE FUNCTION lovable.chain(in_session uuid, names text[], input jsonb, labels jsonb, behind uuid)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_array(jsonb_build_object(
            'ref', 'turn', 'type', 'lovable.turn', 'name', 'turn', 'group', true, 'session_id', in_session,
            'on_child_failure', 'fail', 'labels', labels))
        || jsonb_agg(jsonb_build_object(
            'ref', n.name, 'parent_ref', 'turn', 'type', 'lovable.' || n.name, 'name', n.name, 'queue', 'lovable',
            'session_id', in_session, 'input', input, 'max_attempts', 4, 'backoff_ms', 1000,
            'depends_on', CASE
                WHEN n.place > 1 THEN jsonb_build_array(jsonb_build_object('ref', names[n.place - 1]))
                WHEN behind IS NOT NULL THEN jsonb_build_array(jsonb_build_object('id', behind, 'when', 'terminal'))
                ELSE '[]' END)
            ORDER BY n.place)
    FROM unnest(names) WITH ORDINALITY AS n (name, place)
$$;

CREATE FUNCTION lovable.delete_session(in_session uuid) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE work.sessions AS s SET key = NULL WHERE s.id = in_session;
    RETURN (work.delete_session(in_session)).id;
END;
$$;

CREATE FUNCTION lovable.open_turns(in_session uuid) RETURNS SETOF uuid
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.id FROM work.jobs AS j
    WHERE j.session_id = in_session AND j.type = 'lovable.turn' AND j.state IN ('queued', 'running', 'paused')
    ORDER BY j.created_at DESC, j.id DESC
$$;

-- A row while the job is this attempt's and runs. Restoring takes turns with
-- it, so that what was stopped cannot write over what was restored.
CREATE FUNCTION lovable.held(in_session uuid, job uuid, at_epoch integer) RETURNS SETOF boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM lovable.take_turns(in_session);
    RETURN QUERY SELECT true FROM work.jobs AS j
    WHERE j.id = job AND j.state = 'running' AND j.epoch = at_epoch;
END;
$$;

-- What the user said, and the turn that answers it. The same key is the same
-- turn.
CREATE FUNCTION lovable.begin_turn(in_session uuid, prompt text, message_key text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message constant uuid := work.uuid_v7();
    from_seq bigint;
    waiting uuid[];
    made uuid;
    known record;
BEGIN
    IF prompt IS NULL OR char_length(prompt) NOT BETWEEN 1 AND 20000 THEN
        RAISE EXCEPTION 'a prompt has 1 to 20000 characters' USING ERRCODE = 'PT400', DETAIL = 'invalid';
    END IF;
    PERFORM lovable.take_turns(in_session);
    SELECT s.last_seq INTO from_seq FROM work.streams AS s
    JOIN lovable.sessions AS l ON l.id = s.id WHERE s.id = in_session;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such session' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    SELECT m.id, m.job_id INTO known FROM work.messages AS m
    WHERE m.session_id = in_session AND m.key = message_key;
    IF FOUND THEN
        RETURN jsonb_build_object('job_id', known.job_id, 'message_id', known.id, 'is_new', false);
    END IF;
    waiting := ARRAY(SELECT lovable.open_turns(in_session));
    -- Somebody who sends more than this does not wait for answers.
    IF cardinality(waiting) >= 5 THEN
        RAISE EXCEPTION 'too many turns wait already; stop one or wait for it' USING ERRCODE = 'PT409', DETAIL = 'over_limit';
    END IF;
    SELECT t.id INTO made FROM work.submit(lovable.chain(
        in_session, ARRAY['plan', 'generate', 'apply', 'install', 'preview', 'checkpoint'],
        jsonb_build_object('message', message),
        jsonb_build_object('prompt', left(prompt, 200), 'from_seq', from_seq), waiting[1])) WITH ORDINALITY AS t (id, is_new, state, n)
    ORDER BY t.n LIMIT 1;
    INSERT INTO work.messages (id, session_id, key, role, content, job_id)
    VALUES (message, in_session, message_key, 'user', prompt, made);
    UPDATE work.sessions AS s SET title = left(prompt, 80) WHERE s.id = in_session AND s.title IS NULL;
    RETURN jsonb_build_object('job_id', made, 'message_id', message, 'is_new', true);
END;
$$;

-- Installs and shows what the files are now, after they were changed by
-- somebody else than a turn.
CREATE FUNCTION lovable.begin_refresh(in_session uuid, why text, unless_open boolean DEFAULT false)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made uuid;
    from_seq bigint;
    waiting uuid[];
BEGIN
    PERFORM lovable.take_turns(in_session);
    waiting := ARRAY(SELECT lovable.open_turns(in_session));
    IF unless_open AND cardinality(waiting) > 0 THEN
        RETURN waiting[1];
    END IF;
    SELECT s.last_seq INTO from_seq FROM work.streams AS s WHERE s.id = in_session;
    SELECT t.id INTO made FROM work.submit(lovable.chain(in_session, ARRAY['install', 'preview'], '{}',
        jsonb_build_object('prompt', why, 'from_seq', from_seq, 'refresh', true), waiting[1])) WITH ORDINALITY AS t (id, is_new, state, n)
    ORDER BY t.n LIMIT 1;
    RETURN made;
END;
$$;

-- Back to a checkpoint: files and messages; turns that run are stopped.
CREATE FUNCTION lovable.restore(in_session uuid, checkpoint uuid)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    label text;
    done jsonb;
BEGIN
    PERFORM lovable.take_turns(in_session);
    SELECT coalesce(c.label, 'an earlier state') INTO label FROM work.checkpoints AS c
    WHERE c.id = checkpoint AND c.session_id = in_session;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such checkpoint' USING ERRCODE = 'PT404', DETAIL = 'not_found';
    END IF;
    done := work.restore_checkpoint(checkpoint, true, 'cancel');
    RETURN done || jsonb_build_object('job_id', lovable.begin_refresh(in_session, 'Restored: ' || label));
END;
$$;

CREATE FUNCTION lovable.fork(checkpoint uuid, title text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made work.sessions;
BEGIN
    made := work.fork_session(checkpoint, title, NULL, '{"app": "lovable"}');
    PERFORM work.create_checkpoint(made.id, 'Forked', NULL, '{}');
    RETURN jsonb_build_object('id', made.id, 'job_id', lovable.begin_refresh(made.id, 'Forked'));
END;
$$;

-- The children of a turn in their order, with what they cost.
CREATE FUNCTION lovable.steps_of(turn uuid) RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', j.id, 'name', j.name, 'state', j.state, 'waiting_on', j.waiting_on, 'message', j.message, 'error', j.error,
        'output', j.output, 'started_at', j.started_at, 'finished_at', j.finished_at, 'attempts', j.failures + j.crashes,
        'cost', (SELECT coalesce(sum(t.cost), 0) FROM work.steps AS t WHERE t.job_id = j.id AND t.unit = 'usd'))
        ORDER BY array_position(ARRAY['plan', 'generate', 'apply', 'install', 'preview', 'checkpoint'], j.name)), '[]')
    FROM work.jobs AS j WHERE j.parent_id = turn
$$;

-- All that the page shows of a session, as of one moment: whoever follows the
-- log behind `cursor` misses nothing and sees nothing twice.
CREATE FUNCTION lovable.state(in_session uuid) RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', s.id, 'session_id', s.session_id, 'title', w.title, 'forked_from', w.forked_from, 'project_url', s.project_url,
        'cursor', (SELECT t.last_seq FROM work.streams AS t WHERE t.id = s.id),
        'messages', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'seq', m.seq, 'role', m.role, 'content', m.content,
                'job_id', m.job_id, 'created_at', m.created_at) ORDER BY m.seq), '[]')
            FROM (SELECT * FROM work.messages AS m WHERE m.session_id = s.id AND m.superseded_at IS NULL
                  ORDER BY m.seq DESC LIMIT 200) AS m),
        'turns', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('id', j.id, 'state', j.state, 'labels', j.labels, 'error', j.error,
                'created_at', j.created_at, 'started_at', j.started_at, 'finished_at', j.finished_at,
                'steps', lovable.steps_of(j.id)) ORDER BY j.created_at, j.id), '[]')
            FROM (SELECT * FROM work.jobs AS j WHERE j.session_id = s.id AND j.type = 'lovable.turn'
                  ORDER BY j.created_at DESC, j.id DESC LIMIT 50) AS j),
        'files', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('path', f.path, 'size', f.size, 'updated_at', f.updated_at) ORDER BY f.path), '[]')
            FROM work.workspace_files AS f WHERE f.session_id = s.id),
        'checkpoints', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'label', c.label, 'created_at', c.created_at,
                'metadata', c.metadata) ORDER BY c.created_at DESC, c.id DESC), '[]')
            FROM (SELECT * FROM work.checkpoints AS c WHERE c.session_id = s.id
                  ORDER BY c.created_at DESC, c.id DESC LIMIT 200) AS c),
        'cost', (
            SELECT coalesce(sum(t.cost), 0) FROM work.steps AS t JOIN work.jobs AS j ON j.id = t.job_id
            WHERE j.session_id = s.id AND t.unit = 'usd'))
    FROM lovable.sessions AS s JOIN work.sessions AS w ON w.id = s.id
    WHERE s.id = in_session AND s.user_id = work.me()
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA lovable FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA lovable TO authenticated, service_role;

-- What a session's box was given last. A box is made anew when it is gone, so
-- this is a hint that saves work, never a truth about files.
CREATE TABLE lovable.boxes (
    session_id uuid PRIMARY KEY REFERENCES work.sessions ON DELETE CASCADE,
    -- Hashes of files by path.
    files jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(files) = 'object'),
    -- The hash of the package.json that was installed.
    package text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE lovable.boxes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON lovable.boxes TO authenticated, service_role
    USING (EXISTS (SELECT FROM work.sessions AS s WHERE s.id = session_id AND s.owner = work.me()))
    WITH CHECK (EXISTS (SELECT FROM work.sessions AS s WHERE s.id = session_id AND s.owner = work.me()));
GRANT SELECT, INSERT, UPDATE, DELETE ON lovable.boxes TO authenticated, service_role;
