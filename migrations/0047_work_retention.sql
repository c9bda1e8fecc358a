-- Why: what was left behind. Sessions that somebody deleted, for the eye, are
-- removed when nobody has wanted them back for a while, and with them their
-- files' bytes, as sweep_files finds nobody who has them. The limits that widths
-- of groups are go with the groups.
-- Lock impact: an index of the few sessions that are deleted, and a trigger on
-- work.jobs, which waits for its writers for a moment; otherwise functions.

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

-- How wide a group may be is a limit of its children, and of nobody else.
CREATE FUNCTION work_engine.width_goes()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM work.limits AS l WHERE l.key = 'width:' || OLD.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER width_goes AFTER DELETE ON work.jobs FOR EACH ROW
    WHEN (OLD.is_group OR OLD.children_total > 0) EXECUTE FUNCTION work_engine.width_goes();

-- Of trees that were pruned before.
DELETE FROM work.limits AS l
WHERE l.key LIKE 'width:%' AND NOT EXISTS (SELECT FROM work.jobs AS j WHERE 'width:' || j.id = l.key);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
