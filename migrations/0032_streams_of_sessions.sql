-- Why: a session has its log from the beginning, under its own id, and nobody
-- reads on when the session is gone.
-- Lock impact: triggers on `work.sessions`, empty before this release.

CREATE FUNCTION work_engine.keep_stream()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO work.streams (id, owner) VALUES (NEW.id, NEW.owner) ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'DELETE' THEN
        -- The events are deleted later, many at a time.
        UPDATE work.streams AS s SET owner = NULL WHERE s.id = OLD.id;
    ELSE
        UPDATE work.streams AS s SET owner = NEW.owner WHERE s.id = NEW.id;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER stream_made AFTER INSERT OR DELETE ON work.sessions
    FOR EACH ROW EXECUTE FUNCTION work_engine.keep_stream();
CREATE TRIGGER stream_given AFTER UPDATE OF owner ON work.sessions
    FOR EACH ROW WHEN (OLD.owner IS DISTINCT FROM NEW.owner) EXECUTE FUNCTION work_engine.keep_stream();

SELECT work_engine.admit();
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
