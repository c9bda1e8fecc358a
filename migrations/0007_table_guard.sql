-- Why: a table without row level security in an exposed schema must not be open
-- to `anon`, although the default privileges (which existing migrations rely
-- on) grant it everything.
--
-- How: DDL that may open or close a table leaves one note per transaction in
-- `guard_notes`; a deferred constraint trigger looks at the outcome when the
-- transaction commits. So CREATE TABLE + ENABLE ROW LEVEL SECURITY in one
-- migration never loses a privilege, and nobody sees a state in between. What
-- is revoked is written down in `closed_grants` and given back once the table
-- is protected, or declared public by a comment that contains
-- `@ferrobase.public`. A later REVOKE must be able to hit what was written
-- down: just before it runs, the grants are put back for the rest of that
-- transaction, and at its end they are taken again.
--
-- Without superuser there are no event triggers: then the same function runs at
-- start and after migrations only.
-- Lock impact: creates new objects; the first close_unprotected_tables() runs
-- at start, not here.

CREATE TABLE ferrobase.exposed_schemas (
    name text PRIMARY KEY
);
COMMENT ON TABLE ferrobase.exposed_schemas IS 'Schemas the API serves; written at every start.';
INSERT INTO ferrobase.exposed_schemas VALUES ('public');

CREATE TABLE ferrobase.closed_grants (
    relation regclass NOT NULL,
    grantee text NOT NULL,
    attribute smallint NOT NULL,
    privilege text NOT NULL,
    grantable boolean NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (relation, grantee, attribute, privilege)
);
COMMENT ON TABLE ferrobase.closed_grants IS
    'Privileges taken from unprotected tables, given back once they are protected. Attribute 0 is the whole table.';

CREATE TABLE ferrobase.guard_notes (
    noted_in xid8 PRIMARY KEY
);
COMMENT ON TABLE ferrobase.guard_notes IS 'Transactions whose DDL is looked at when they commit; empty between transactions.';

ALTER TABLE ferrobase.exposed_schemas ENABLE ROW LEVEL SECURITY;
ALTER TABLE ferrobase.closed_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE ferrobase.guard_notes ENABLE ROW LEVEL SECURITY;

-- Tables of exposed schemas that lack protection. Partitions count: a request
-- can name them past their parent's policies. So do foreign tables, which
-- cannot have policies at all.
CREATE VIEW ferrobase.unprotected_tables AS
SELECT c.oid AS relid,
       n.nspname AS schema,
       c.relname AS name,
       coalesce(obj_description(c.oid, 'pg_class') LIKE '%@ferrobase.public%', false) AS declared_public
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN (SELECT e.name FROM ferrobase.exposed_schemas AS e)
  AND c.relkind IN ('r', 'p', 'f')
  AND NOT c.relrowsecurity;

-- What anon holds on a relation, by its own grant or through PUBLIC, on the
-- table (attribute 0) and on single columns.
CREATE FUNCTION ferrobase.grants_to_anon(relid oid)
RETURNS TABLE (grantee text, attribute smallint, privilege text, grantable boolean)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH acl AS (
        SELECT 0::smallint AS attribute, c.relacl AS items
        FROM pg_class AS c
        WHERE c.oid = relid
        UNION ALL
        SELECT a.attnum, a.attacl
        FROM pg_attribute AS a
        WHERE a.attrelid = relid AND a.attacl IS NOT NULL AND NOT a.attisdropped
    )
    SELECT CASE WHEN item.grantee = 0 THEN 'public' ELSE 'anon' END,
           acl.attribute,
           item.privilege_type,
           bool_or(item.is_grantable)
    FROM acl
    CROSS JOIN LATERAL aclexplode(acl.items) AS item
    WHERE item.grantee = 0 OR item.grantee = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = 'anon')
    GROUP BY 1, 2, 3;
$$;

-- Takes from anon (and PUBLIC) what it holds on one table, and writes it down.
CREATE FUNCTION ferrobase.close_table(relid oid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    INSERT INTO ferrobase.closed_grants AS closed (relation, grantee, attribute, privilege, grantable)
    SELECT relid, held.grantee, held.attribute, held.privilege, held.grantable
    FROM ferrobase.grants_to_anon(relid) AS held
    ON CONFLICT (relation, grantee, attribute, privilege) DO UPDATE
    SET grantable = closed.grantable OR excluded.grantable;

    -- At table level REVOKE takes the columns' privileges along.
    FOR holder IN SELECT DISTINCT held.grantee FROM ferrobase.grants_to_anon(relid) AS held LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', relid::regclass, holder);
    END LOOP;
END;
$$;

-- Gives back what close_table took, and forgets it.
CREATE FUNCTION ferrobase.reopen_table(relid oid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grant_back text;
BEGIN
    FOR grant_back IN
        SELECT format('GRANT %s%s ON TABLE %s TO %s%s',
                      closed.privilege,
                      CASE WHEN closed.attribute = 0 THEN '' ELSE format(' (%I)', a.attname) END,
                      relid::regclass,
                      closed.grantee,
                      CASE WHEN closed.grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM ferrobase.closed_grants AS closed
        LEFT JOIN pg_attribute AS a
            ON a.attrelid = relid AND a.attnum = closed.attribute AND a.attnum > 0 AND NOT a.attisdropped
        WHERE closed.relation = relid AND (closed.attribute = 0 OR a.attname IS NOT NULL)
    LOOP
        EXECUTE grant_back;
    END LOOP;
    DELETE FROM ferrobase.closed_grants AS closed WHERE closed.relation = relid;
END;
$$;

-- The rule itself: closes what must be closed, reopens what may be open. Fails
-- soft, table by table, because it also runs inside other people's commits; the
-- next start tries again and reports what is still open.
CREATE FUNCTION ferrobase.guard_tables()
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record;
    outer_guarding constant text := coalesce(current_setting('ferrobase.guarding', true), '');
BEGIN
    -- Our own GRANT and REVOKE must not call us again.
    PERFORM set_config('ferrobase.guarding', 'on', true);
    DELETE FROM ferrobase.closed_grants AS closed
    WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = closed.relation);

    FOR target IN
        SELECT u.relid, true AS closing
        FROM ferrobase.unprotected_tables AS u
        WHERE NOT u.declared_public AND EXISTS (SELECT FROM ferrobase.grants_to_anon(u.relid))
        UNION ALL
        SELECT DISTINCT closed.relation::oid, false
        FROM ferrobase.closed_grants AS closed
        WHERE NOT EXISTS (
            SELECT FROM ferrobase.unprotected_tables AS u
            WHERE u.relid = closed.relation AND NOT u.declared_public
        )
    LOOP
        BEGIN
            IF target.closing THEN
                PERFORM ferrobase.close_table(target.relid);
            ELSE
                PERFORM ferrobase.reopen_table(target.relid);
            END IF;
        EXCEPTION
            WHEN query_canceled THEN
                RAISE;
            WHEN OTHERS THEN
                RAISE WARNING 'ferrobase could not %s table % to anon: %',
                    CASE WHEN target.closing THEN 'close' ELSE 'reopen' END, target.relid::regclass, sqlerrm
                    USING HINT = 'Enable row level security on it; the next start of ferrobase tries again.';
        END;
    END LOOP;
    PERFORM set_config('ferrobase.guarding', outer_guarding, true);
END;
$$;

-- At commit: look at the outcome of the whole transaction, once.
CREATE FUNCTION ferrobase.guard_at_commit()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM ferrobase.guard_notes WHERE noted_in = new.noted_in;
    PERFORM set_config('ferrobase.guard_noted', '', true);
    PERFORM ferrobase.guard_tables();
    RETURN NULL;
END;
$$;
CREATE CONSTRAINT TRIGGER guard_at_commit
    AFTER INSERT ON ferrobase.guard_notes
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ferrobase.guard_at_commit();

-- After DDL: leave the note. The setting spares a busy migration all but the
-- first write; a rolled back savepoint undoes both alike.
CREATE FUNCTION ferrobase.note_ddl()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('ferrobase.guarding', true) = 'on' OR current_setting('ferrobase.guard_noted', true) = 'on' THEN
        RETURN;
    END IF;
    -- Temporary tables are made by requests, which should not pay for this.
    IF NOT EXISTS (
        SELECT FROM pg_event_trigger_ddl_commands() AS command WHERE command.schema_name IS DISTINCT FROM 'pg_temp'
    ) THEN
        RETURN;
    END IF;
    PERFORM set_config('ferrobase.guard_noted', 'on', true);
    INSERT INTO ferrobase.guard_notes VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
END;
$$;

-- Before REVOKE: put back what was taken, so that the REVOKE hits it.
CREATE FUNCTION ferrobase.before_revoke()
RETURNS event_trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target oid;
BEGIN
    IF current_setting('ferrobase.guarding', true) = 'on' THEN
        RETURN;
    END IF;
    PERFORM set_config('ferrobase.guarding', 'on', true);
    FOR target IN
        SELECT DISTINCT closed.relation
        FROM ferrobase.closed_grants AS closed
        JOIN pg_class AS c ON c.oid = closed.relation
    LOOP
        PERFORM ferrobase.reopen_table(target);
    END LOOP;
    PERFORM set_config('ferrobase.guarding', '', true);
END;
$$;

-- Start-up and report in one call: remembers what is exposed, applies the rule,
-- and lists what an operator should know.
CREATE FUNCTION ferrobase.close_unprotected_tables(schemas text[])
RETURNS TABLE (schema text, name text, state text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Notes outlive their transaction only where triggers were switched off.
    DELETE FROM ferrobase.guard_notes;
    DELETE FROM ferrobase.exposed_schemas AS e WHERE e.name <> ALL (schemas);
    INSERT INTO ferrobase.exposed_schemas AS e (name) SELECT unnest(schemas) ON CONFLICT DO NOTHING;
    PERFORM ferrobase.guard_tables();
    RETURN QUERY SELECT r.schema, r.name, r.state FROM ferrobase.exposure_report() AS r;
END;
$$;

-- closed: without row level security, closed to anon. public: likewise, open by
-- declaration. open: likewise, but we lack the right to close it. view: anon
-- reads protected tables through it with the rights of its owner.
CREATE FUNCTION ferrobase.exposure_report()
RETURNS TABLE (schema text, name text, state text)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.schema::text,
           u.name::text,
           CASE
               WHEN u.declared_public THEN 'public'
               WHEN EXISTS (SELECT FROM ferrobase.grants_to_anon(u.relid)) THEN 'open'
               ELSE 'closed'
           END
    FROM ferrobase.unprotected_tables AS u
    UNION ALL
    SELECT n.nspname::text, c.relname::text, 'view'
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN (SELECT e.name FROM ferrobase.exposed_schemas AS e)
      AND (c.relkind = 'm' OR (
          c.relkind = 'v'
          AND NOT EXISTS (
              SELECT FROM pg_options_to_table(c.reloptions) AS o
              WHERE o.option_name = 'security_invoker' AND lower(o.option_value) IN ('true', 'on', 'yes', '1')
          )
      ))
      AND coalesce(obj_description(c.oid, 'pg_class') NOT LIKE '%@ferrobase.public%', true)
      AND EXISTS (
          SELECT FROM pg_roles AS anon
          WHERE anon.rolname = 'anon' AND has_any_column_privilege(anon.oid, c.oid, 'SELECT')
      )
      AND EXISTS (
          SELECT
          FROM pg_rewrite AS rule
          JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = rule.oid
              AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
          JOIN pg_class AS source ON source.oid = d.refobjid AND source.relkind IN ('r', 'p')
          JOIN pg_roles AS owner ON owner.oid = c.relowner
          WHERE rule.ev_class = c.oid
            AND source.relrowsecurity
            AND (owner.rolsuper OR owner.rolbypassrls
                 OR (source.relowner = c.relowner AND NOT source.relforcerowsecurity))
      )
    ORDER BY 1, 2;
$$;

DO $$
DECLARE
    consequence constant text :=
        'a table created without row level security is closed to anon only when Ferrobase starts or migrates';
BEGIN
    PERFORM ferrobase.attempt('event trigger ferrobase_table_guard', consequence,
        'CREATE EVENT TRIGGER ferrobase_table_guard ON ddl_command_end
         WHEN TAG IN (''CREATE TABLE'', ''CREATE TABLE AS'', ''SELECT INTO'', ''ALTER TABLE'',
                      ''CREATE FOREIGN TABLE'', ''ALTER FOREIGN TABLE'', ''IMPORT FOREIGN SCHEMA'',
                      ''CREATE SCHEMA'', ''ALTER SCHEMA'', ''CREATE EXTENSION'', ''ALTER EXTENSION'',
                      ''GRANT'', ''REVOKE'', ''COMMENT'')
         EXECUTE FUNCTION ferrobase.note_ddl()');
    PERFORM ferrobase.attempt('event trigger ferrobase_before_revoke', consequence,
        'CREATE EVENT TRIGGER ferrobase_before_revoke ON ddl_command_start
         WHEN TAG IN (''REVOKE'')
         EXECUTE FUNCTION ferrobase.before_revoke()');
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
SELECT ferrobase.attempt('table guard for postgres', 'postgres cannot ask which tables are closed, or dump schema ferrobase', $$
    GRANT SELECT ON ALL TABLES IN SCHEMA ferrobase TO postgres;
    GRANT EXECUTE ON FUNCTION ferrobase.install_extension(text, text) TO postgres;
    GRANT EXECUTE ON FUNCTION ferrobase.close_unprotected_tables(text[]), ferrobase.exposure_report() TO postgres
$$);
