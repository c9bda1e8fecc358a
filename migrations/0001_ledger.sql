-- Why: Ferrobase's own state lives in schema `ferrobase`: which migrations ran
-- (with checksums, so an edited release is noticed) and what this server could
-- not be given. The helpers below isolate each statement that needs rights we
-- may lack, so that a managed provider without superuser degrades line by line
-- instead of failing whole.
-- Lock impact: creates new objects only; no existing relation is locked.

CREATE SCHEMA ferrobase;
COMMENT ON SCHEMA ferrobase IS 'Ferrobase: state of the server itself. Not for applications.';
REVOKE ALL ON SCHEMA ferrobase FROM PUBLIC;

CREATE TABLE ferrobase.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ferrobase.schema_migrations IS 'Platform migrations applied to this database, with the SHA-256 of their text.';

CREATE TABLE ferrobase.degradations (
    feature text PRIMARY KEY,
    reason text NOT NULL,
    consequence text NOT NULL,
    statement text,
    derived boolean NOT NULL DEFAULT false,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ferrobase.degradations IS 'What this database did not let us set up, and what does not work because of it.';
COMMENT ON COLUMN ferrobase.degradations.derived IS 'Follows from another line: tried again, but not reported.';

ALTER TABLE ferrobase.schema_migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE ferrobase.degradations ENABLE ROW LEVEL SECURITY;

-- Writes one line for the start-up report; the newest reason wins.
CREATE FUNCTION ferrobase.degrade(
    feature text,
    reason text,
    consequence text,
    statement text DEFAULT NULL,
    derived boolean DEFAULT false
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ferrobase.degradations AS d (feature, reason, consequence, statement, derived)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (feature) DO UPDATE
    SET reason = excluded.reason,
        consequence = excluded.consequence,
        statement = excluded.statement,
        derived = excluded.derived;
$$;

-- Runs one statement that may be refused. A refusal (missing right, missing
-- feature, missing prerequisite) becomes a degradation; anything else is a bug
-- in a migration and is raised. Two databases of one cluster may race to make
-- the same role: losing that race is success. Where roles are missing, what
-- names them fails too; one line per role says enough.
CREATE FUNCTION ferrobase.attempt(feature text, consequence text, statement text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM ferrobase.degradations AS d WHERE d.feature = attempt.feature;
    EXECUTE statement;
    RETURN true;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        DELETE FROM ferrobase.degradations AS d WHERE d.feature = attempt.feature;
        RETURN true;
    WHEN insufficient_privilege
        OR feature_not_supported
        OR undefined_file
        OR undefined_object
        OR reserved_name
        OR invalid_grant_operation
        OR object_not_in_prerequisite_state
    THEN
        PERFORM ferrobase.degrade(feature, sqlerrm, consequence, statement,
            sqlstate = '42704' AND EXISTS (SELECT FROM ferrobase.degradations AS d WHERE d.feature LIKE 'missing role %'));
        RETURN false;
END;
$$;

-- Tries every refused statement again, so that a right granted later is used
-- at the next start; missing roles first, since the rest names them. Returns
-- how many degradations remain.
CREATE FUNCTION ferrobase.retry_degraded()
RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    refused record;
BEGIN
    FOR refused IN
        SELECT d.feature, d.consequence, d.statement
        FROM ferrobase.degradations AS d
        WHERE d.statement IS NOT NULL
        ORDER BY d.feature NOT LIKE 'missing role %', d.recorded_at
    LOOP
        PERFORM ferrobase.attempt(refused.feature, refused.consequence, refused.statement);
    END LOOP;
    RETURN (SELECT count(*) FROM ferrobase.degradations);
END;
$$;

-- Whether this is the cluster Ferrobase made for itself, where it may shape
-- roles and the database freely. On anybody else's server it only adds.
CREATE FUNCTION ferrobase.owns_cluster()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_roles
        WHERE rolname = 'supabase_admin' AND rolname = session_user AND oid = 10 AND rolsuper
    );
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
