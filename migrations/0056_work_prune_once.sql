-- Why: `prune_plain` took jobs without children together, and found them by an
-- index of ends that is no more; `prune` found them by their ids, and took them
-- one by one. Now one function does both.
-- Lock impact: replaces functions only; no existing relation is locked.

DROP FUNCTION work_engine.prune_plain(integer, interval);

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
    roots uuid[] := work_engine.old_roots(prune.most, prune.older);
    old_root uuid;
    ids uuid[];
    held integer;
    seen integer := 0;
    gone uuid[];
BEGIN
    -- Those that never had children go together. Nobody begins to wait for
    -- them once they are locked.
    SELECT coalesce(array_agg(j.id), '{}') INTO gone
    FROM work.jobs AS j
    WHERE j.id = ANY (roots) AND j.children_total = 0 AND j.state NOT IN ('queued', 'running', 'paused')
      AND NOT EXISTS (
        SELECT FROM work.dependencies AS d JOIN work.jobs AS k ON k.id = d.job_id
        WHERE d.on_id = j.id AND k.state IN ('queued', 'running', 'paused'));
    DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (gone);
    FOR old_root IN SELECT j.id FROM work.jobs AS j WHERE j.id = ANY (roots) AND j.children_total > 0 ORDER BY j.finished_at LOOP
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
        DELETE FROM work_engine.arrivals AS a WHERE a.job_id = ANY (ids);
    END LOOP;
    DELETE FROM work_engine.unnumbered AS u WHERE u.stream_id = ANY (gone);
    DELETE FROM work.streams AS s WHERE s.id = ANY (gone);
    -- Everything that a job has goes with it.
    DELETE FROM work.jobs AS j WHERE j.id = ANY (gone);
    RETURN cardinality(gone);
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
