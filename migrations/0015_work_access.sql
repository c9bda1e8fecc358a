-- Why: who may see and do what in the work schemas. 0014 has the tables.
-- Lock impact: policies and grants on tables that 0014 made; nothing else is locked.

-- Who may see what. Clients read what is theirs; they write sessions, and
-- everything else through functions. `service_role` is stopped by no policy.
DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY[
        'sessions', 'job_types', 'queues', 'jobs', 'dependencies', 'attempts', 'steps', 'signals', 'approvals', 'budgets',
        'ledger', 'limits', 'shares', 'schedules', 'schedule_fires', 'workers', 'streams', 'events'
    ] LOOP
        EXECUTE format('ALTER TABLE work.%I ENABLE ROW LEVEL SECURITY', tab);
    END LOOP;
    FOREACH tab IN ARRAY ARRAY['sessions', 'jobs', 'ledger', 'schedules', 'streams'] LOOP
        EXECUTE format('CREATE POLICY own ON work.%I FOR SELECT USING (owner = (SELECT work.me()))', tab);
    END LOOP;
    -- Visible with the job: the inner query obeys the policy above.
    FOREACH tab IN ARRAY ARRAY['dependencies', 'attempts', 'steps', 'signals', 'budgets'] LOOP
        EXECUTE format(
            'CREATE POLICY own ON work.%I FOR SELECT USING (EXISTS (SELECT FROM work.jobs AS j WHERE j.id = job_id))', tab);
    END LOOP;
END;
$$;
CREATE POLICY own ON work.approvals FOR SELECT
    USING (owner = (SELECT work.me()) OR assignee = (SELECT work.me()));
CREATE POLICY own ON work.events FOR SELECT
    USING (EXISTS (SELECT FROM work.streams AS s WHERE s.id = stream_id));
CREATE POLICY own ON work.schedule_fires FOR SELECT
    USING (EXISTS (SELECT FROM work.schedules AS s WHERE s.id = schedule_id));
CREATE POLICY make_own ON work.sessions FOR INSERT WITH CHECK (owner = (SELECT work.me()));
CREATE POLICY change_own ON work.sessions FOR UPDATE
    USING (owner = (SELECT work.me())) WITH CHECK (owner = (SELECT work.me()));
CREATE POLICY drop_own ON work.sessions FOR DELETE USING (owner = (SELECT work.me()));

CREATE FUNCTION work_engine.touch()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
CREATE TRIGGER touch BEFORE UPDATE ON work.sessions FOR EACH ROW EXECUTE FUNCTION work_engine.touch();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work, work_engine FROM PUBLIC;
SELECT ferrobase.attempt('schema work for callers', 'jobs and sessions cannot be read', $$
    GRANT USAGE ON SCHEMA work TO authenticated, service_role;
    GRANT EXECUTE ON FUNCTION work.me(), work.uuid_v7() TO authenticated, service_role;
    GRANT SELECT ON ALL TABLES IN SCHEMA work TO authenticated, service_role;
    REVOKE SELECT ON work.job_types, work.queues, work.limits, work.shares, work.workers FROM authenticated;
    GRANT INSERT, UPDATE, DELETE ON work.sessions TO authenticated, service_role;
    GRANT INSERT, UPDATE, DELETE ON work.job_types, work.limits, work.shares TO service_role
$$);

-- The engine. Where we may not give tables away, grants and policies do.
CREATE FUNCTION work_engine.admit()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tab record;
BEGIN
    IF to_regrole('ferrobase_work') IS NULL THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA work, work_engine TO ferrobase_work;
    GRANT ALL ON ALL TABLES IN SCHEMA work, work_engine TO ferrobase_work;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA work, work_engine TO ferrobase_work;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA work, work_engine TO ferrobase_work;
    FOR tab IN
        SELECT c.oid::regclass AS name
        FROM pg_class AS c
        WHERE c.relnamespace IN ('work'::regnamespace, 'work_engine'::regnamespace) AND c.relkind IN ('r', 'p')
          AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'engine')
    LOOP
        EXECUTE format('CREATE POLICY engine ON %s TO ferrobase_work USING (true) WITH CHECK (true)', tab.name);
    END LOOP;
    PERFORM ferrobase.hand_over('work', 'ferrobase_work');
    PERFORM ferrobase.hand_over('work_engine', 'ferrobase_work');
END;
$$;
COMMENT ON FUNCTION work_engine.admit() IS 'Gives what is new in the work schemas to the engine''s role; every migration there ends with it.';
SELECT work_engine.admit();
