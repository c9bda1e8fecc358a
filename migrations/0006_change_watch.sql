-- Why: the API reads the catalogue once and again when told. Two event
-- triggers, named as Supabase names them, send NOTIFY pgrst 'reload schema'
-- when something the API can see changes. Temporary objects and the services'
-- own schemas are not its business. Event triggers need a superuser: without
-- one, whoever changes the schema must send the NOTIFY.
-- Lock impact: none on relations; event triggers apply to later statements.

DO $$
BEGIN
    IF to_regprocedure('extensions.pgrst_ddl_watch()') IS NULL THEN
        CREATE FUNCTION extensions.pgrst_ddl_watch() RETURNS event_trigger
        LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp
        AS $body$
        BEGIN
            -- One NOTIFY is enough: equal ones within a transaction collapse.
            IF EXISTS (
                SELECT
                FROM pg_event_trigger_ddl_commands() AS command
                WHERE (
                    command.command_tag IN (
                        'CREATE SCHEMA', 'ALTER SCHEMA',
                        'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
                        'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA',
                        'CREATE VIEW', 'ALTER VIEW',
                        'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW',
                        'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE PROCEDURE', 'ALTER PROCEDURE',
                        'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN',
                        'CREATE CAST', 'CREATE RULE', 'COMMENT'
                    )
                    AND coalesce(command.schema_name, '') NOT IN ('pg_temp', 'auth', 'realtime', '_realtime', 'storage')
                )
                OR (command.command_tag = 'CREATE TRIGGER' AND command.object_identity NOT LIKE '% pg\_temp.%')
            ) THEN
                NOTIFY pgrst, 'reload schema';
            END IF;
        END;
        $body$;
    END IF;

    IF to_regprocedure('extensions.pgrst_drop_watch()') IS NULL THEN
        CREATE FUNCTION extensions.pgrst_drop_watch() RETURNS event_trigger
        LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp
        AS $body$
        BEGIN
            IF EXISTS (
                SELECT
                FROM pg_event_trigger_dropped_objects() AS dropped
                WHERE NOT dropped.is_temporary
                  AND (
                      (
                          dropped.object_type IN (
                              'schema', 'table', 'table column', 'table constraint', 'foreign table', 'view',
                              'materialized view', 'function', 'procedure', 'type', 'rule', 'cast'
                          )
                          AND coalesce(dropped.schema_name, '') NOT IN ('auth', 'realtime', '_realtime', 'storage')
                      )
                      OR (dropped.object_type = 'trigger' AND dropped.object_identity NOT LIKE '% pg\_temp.%')
                  )
            ) THEN
                NOTIFY pgrst, 'reload schema';
            END IF;
        END;
        $body$;
    END IF;
END;
$$;

DO $$
DECLARE
    consequence constant text := 'the API does not notice schema changes by itself: send NOTIFY pgrst, ''reload schema'' after them';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'pgrst_ddl_watch') THEN
        PERFORM ferrobase.attempt('event trigger pgrst_ddl_watch', consequence,
            'CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.pgrst_ddl_watch()');
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'pgrst_drop_watch') THEN
        PERFORM ferrobase.attempt('event trigger pgrst_drop_watch', consequence,
            'CREATE EVENT TRIGGER pgrst_drop_watch ON sql_drop EXECUTE FUNCTION extensions.pgrst_drop_watch()');
    END IF;
END;
$$;
