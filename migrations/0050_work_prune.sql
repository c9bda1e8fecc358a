-- Why: jobs without children are most of what is pruned, and took a plan and
-- five statements each; now as many as fit go at once. Trees go one by one as
-- before.
-- Lock impact: creates a function only; no existing relation is locked.

CREATE FUNCTION work_engine.prune_plain(most integer, older interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Seldom called, and with lists of any length: a plan for each call.
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    gone uuid[];
BEGIN
    SELECT array_agg(j.id) INTO gone
    FROM (
        SELECT j.id FROM work.jobs AS j LEFT JOIN work.job_types AS t ON t.name = j.type
        WHERE j.parent_id IS NULL AND j.children_total = 0 AND j.finished_at IS NOT NULL
          AND j.finished_at < clock_timestamp() - coalesce(t.keep_for, prune_plain.older)
        ORDER BY j.finished_at LIMIT prune_plain.most
        FOR UPDATE OF j SKIP LOCKED
    ) AS j;
    -- Once they are locked nobody begins to wait for them.
    SELECT array_agg(g.id) INTO gone
    FROM unnest(gone) AS g (id)
    WHERE NOT EXISTS (
        SELECT FROM work.dependencies AS d JOIN work.jobs AS j ON j.id = d.job_id
        WHERE d.on_id = g.id AND j.state IN ('queued', 'running', 'paused'));
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (gone);
    DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (gone);
    DELETE FROM work.streams AS s WHERE s.id = ANY (gone);
    DELETE FROM work.jobs AS j WHERE j.id = ANY (gone);
    RETURN cardinality(gone);
END;
$$;
COMMENT ON FUNCTION work_engine.prune_plain(integer, interval) IS
    'prune, of jobs that never had children; returns how many.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
