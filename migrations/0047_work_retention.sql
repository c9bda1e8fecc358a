-- Why: what was left behind. Sessions that somebody deleted, for the eye, are
-- removed when nobody has wanted them back for a while, and with them their
-- files' bytes, as sweep_files finds nobody who has them. The limits that widths
-- of groups are go with the groups.
-- Lock impact: an index of the few sessions that are deleted; otherwise functions.

CREATE INDEX sessions_deleted ON work.sessions (updated_at) WHERE status = 'deleted';

CREATE FUNCTION work_engine.purge_sessions(most integer, older interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purged integer;
BEGIN
    -- Its jobs ended with it; one that came later is waited for. Everything
    -- that belongs to a session goes with it by its foreign keys and triggers.
    DELETE FROM work.sessions AS s WHERE s.id IN (
        SELECT o.id FROM work.sessions AS o
        WHERE o.status = 'deleted' AND o.updated_at < clock_timestamp() - older
          AND NOT EXISTS (SELECT FROM work.jobs AS j WHERE j.session_id = o.id AND j.state IN ('queued', 'running', 'paused'))
        ORDER BY o.updated_at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS purged = ROW_COUNT;
    RETURN purged;
END;
$$;
COMMENT ON FUNCTION work_engine.purge_sessions(integer, interval) IS
    'Removes sessions that were deleted so long ago, with everything that belongs to them; returns how many.';

-- As before, and limits of groups' widths go as well.
CREATE OR REPLACE FUNCTION work_engine.prune(most integer, older interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    -- So that one round stays short however large the trees are.
    rows_max CONSTANT integer := 20000;
    roots uuid[];
    old_root uuid;
    ids uuid[];
    held integer;
    seen integer := 0;
    gone uuid[] := '{}';
    widths text[] := '{}';
BEGIN
    SELECT array_agg(j.id) INTO roots
    FROM (
        SELECT j.id FROM work.jobs AS j LEFT JOIN work.job_types AS t ON t.name = j.type
        WHERE j.parent_id IS NULL AND j.finished_at IS NOT NULL
          AND j.finished_at < clock_timestamp() - coalesce(t.keep_for, prune.older)
        ORDER BY j.finished_at LIMIT prune.most
        FOR UPDATE OF j SKIP LOCKED
    ) AS j;
    FOREACH old_root IN ARRAY coalesce(roots, '{}') LOOP
        EXIT WHEN seen >= rows_max;
        ids := work_engine.tree(old_root);
        seen := seen + cardinality(ids);
        -- A tree goes as a whole or stays: nothing in it may be at work, or be
        -- looked at by somebody, or be what a job elsewhere still waits for.
        CONTINUE WHEN EXISTS (SELECT FROM work.jobs AS j WHERE j.id = ANY (ids) AND j.state IN ('queued', 'running', 'paused'));
        CONTINUE WHEN EXISTS (
            SELECT FROM work.dependencies AS d JOIN work.jobs AS j ON j.id = d.job_id
            WHERE d.on_id = ANY (ids) AND j.state IN ('queued', 'running', 'paused'));
        PERFORM FROM work.jobs AS j WHERE j.id = ANY (ids) FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS held = ROW_COUNT;
        CONTINUE WHEN held < cardinality(ids);
        gone := gone || old_root;
        widths := widths || array(SELECT 'width:' || i.id FROM unnest(ids) AS i (id));
        DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (ids);
    END LOOP;
    DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (gone);
    DELETE FROM work.streams AS s WHERE s.id = ANY (gone);
    -- Nothing refers to how wide a group may be but its children.
    DELETE FROM work.limits AS l WHERE l.key = ANY (widths);
    -- Everything that a job has goes with it.
    DELETE FROM work.jobs AS j WHERE j.id = ANY (gone);
    RETURN cardinality(gone);
END;
$$;

-- Of trees that were pruned before.
DELETE FROM work.limits AS l
WHERE l.key LIKE 'width:%' AND NOT EXISTS (SELECT FROM work.jobs AS j WHERE 'width:' || j.id = l.key);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
