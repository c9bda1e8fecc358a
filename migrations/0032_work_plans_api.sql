-- Why: schedules, budgets and limits through `supabase.schema('work').rpc(…)`,
-- as everything else of jobs. A node checks a schedule's pattern within a
-- second and writes what is wrong with it into `error`.
-- Lock impact: creates functions only; no existing relation is locked.

CREATE FUNCTION work.schedule_create(schedule jsonb)
RETURNS work.schedules
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := work_engine.asker();
BEGIN
    PERFORM work_engine.admissible(me, jsonb_build_array(schedule -> 'job')) WHERE me IS NOT NULL AND schedule ? 'job';
    RETURN work_engine.schedule_create(coalesce(me, schedule ->> 'owner'), schedule);
END;
$$;
COMMENT ON FUNCTION work.schedule_create(jsonb) IS
    'Makes a schedule of {name, cron, time_zone, job, overlap, missed, paused}; with a secret key also owner.';

CREATE FUNCTION work.schedule_update(id uuid, changes jsonb)
RETURNS work.schedules
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := work_engine.asker();
BEGIN
    PERFORM work_engine.admissible(me, jsonb_build_array(changes -> 'job')) WHERE me IS NOT NULL AND changes ? 'job';
    RETURN work_engine.schedule_update(schedule_update.id, me, me IS NULL, changes);
END;
$$;
COMMENT ON FUNCTION work.schedule_update(uuid, jsonb) IS 'Changes fields of a schedule.';

CREATE FUNCTION work.schedule_delete(id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me text := work_engine.asker();
BEGIN
    RETURN work_engine.schedule_delete(schedule_delete.id, me, me IS NULL);
END;
$$;
COMMENT ON FUNCTION work.schedule_delete(uuid) IS 'Removes a schedule; its jobs stay.';

-- Whoever pays says how much: a user's jobs may be somebody else's cost. A
-- user who shall decide is asked by the budget itself (on_exceed: ask).
CREATE FUNCTION work.set_budget(job uuid, unit text, cap numeric, soft_cap numeric DEFAULT NULL, on_exceed text DEFAULT NULL)
RETURNS TABLE (id uuid, state text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF NOT work_engine.is_service() THEN
        PERFORM work_engine.refuse(403, 'forbidden', 'Budgets are set with a secret key');
    END IF;
    RETURN QUERY SELECT b.id, b.state
        FROM work_engine.set_budget(set_budget.job, set_budget.unit, set_budget.cap, set_budget.soft_cap, set_budget.on_exceed) AS b;
    PERFORM pg_notify('ferrobase_work', '{"all":true}');
END;
$$;
COMMENT ON FUNCTION work.set_budget(uuid, text, numeric, numeric, text) IS
    'Makes or changes a budget of a tree; returns what goes on by that.';

CREATE FUNCTION work.pause_limit(job uuid, epoch integer, key text, for_ms bigint, reason text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM work_engine.guard(job);
    IF NOT work_engine.is_service() THEN
        -- It holds for everybody who shares the key.
        PERFORM work_engine.refuse(403, 'forbidden', 'Limits are paused with a secret key');
    END IF;
    RETURN coalesce(work_engine.pause_limit_of(job, epoch, key, for_ms, reason), false);
END;
$$;
COMMENT ON FUNCTION work.pause_limit(uuid, integer, text, bigint, text) IS
    'A worker passes on its provider''s Retry-After: nothing starts under this key of its job for so long.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work, work_engine FROM PUBLIC;
SELECT ferrobase.attempt('schema work for callers', 'schedules cannot be made by functions', $$
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA work TO authenticated, service_role
$$);
SELECT work_engine.admit();
