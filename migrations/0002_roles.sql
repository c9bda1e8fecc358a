-- Why: the roles that existing Supabase migrations, policies and grants name.
-- A role that exists is left as it is (it may be a real Supabase project's, or
-- the operator's); only missing ones are made, and only settings that nobody
-- has chosen are set. A connecting user that may not make roles leaves them
-- missing; nothing here fails for that.
-- Lock impact: rows in pg_authid, pg_auth_members and pg_db_role_setting; no
-- table locks.

CREATE FUNCTION ferrobase.ensure_role(role text, wanted text, consequence text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    refusal text;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE ROLE %I %s', role, wanted);
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN insufficient_privilege THEN
        -- The attributes were refused. The bare role still lets migrations
        -- that name it in GRANT and policies run. A bystander's attributes
        -- matter to nobody here, so their loss is not reported.
        refusal := sqlerrm;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            IF consequence IS NOT NULL THEN
                PERFORM ferrobase.degrade('role ' || role, refusal, consequence, format('ALTER ROLE %I %s', role, wanted));
            END IF;
        EXCEPTION
            WHEN insufficient_privilege THEN
                PERFORM ferrobase.degrade(
                    'missing role ' || role,
                    format('%s may not create it: %s', current_user, sqlerrm),
                    format('statements and requests that name %s fail', role),
                    format('SELECT ferrobase.ensure_role(%L, %L, %L)', role, wanted, consequence),
                    consequence IS NULL
                );
        END;
END;
$$;

-- A default for a role, unless the operator has chosen one.
CREATE FUNCTION ferrobase.ensure_role_setting(role text, setting text, value text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        CROSS JOIN LATERAL unnest(s.setconfig) AS chosen (pair)
        WHERE s.setdatabase = 0 AND r.rolname = role AND split_part(chosen.pair, '=', 1) = setting
    ) THEN
        RETURN;
    END IF;
    PERFORM ferrobase.attempt(
        format('setting %s of role %s', setting, role),
        format('%s runs without %s = %s', role, setting, value),
        format('ALTER ROLE %I SET %s = %s', role, setting, value)
    );
END;
$$;

DO $$
BEGIN
    -- The API's three callers. They inherit since 2023 on the hosted platform,
    -- so that a custom role granted to one of them takes effect.
    PERFORM ferrobase.ensure_role('anon', 'NOLOGIN', 'anonymous requests are refused');
    PERFORM ferrobase.ensure_role('authenticated', 'NOLOGIN', 'requests of signed-in users are refused');
    PERFORM ferrobase.ensure_role('service_role', 'NOLOGIN BYPASSRLS',
        'service_role obeys row level security: secret keys see only what policies allow');
    PERFORM ferrobase.ensure_role('authenticator', 'LOGIN NOINHERIT', 'nothing can connect as authenticator');

    -- Who migrations run as, and who owns the platform.
    PERFORM ferrobase.ensure_role('supabase_admin', 'NOLOGIN', 'statements that name supabase_admin fail');
    PERFORM ferrobase.ensure_role('postgres', 'LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS',
        'the role postgres exists without its usual attributes');

    -- One administrator per service, and the bystanders that grants name.
    PERFORM ferrobase.ensure_role('supabase_auth_admin', 'LOGIN NOINHERIT', 'auth objects belong to the connecting user');
    PERFORM ferrobase.ensure_role('supabase_storage_admin', 'LOGIN NOINHERIT', 'storage objects belong to the connecting user');
    PERFORM ferrobase.ensure_role('supabase_realtime_admin', 'NOLOGIN NOINHERIT', 'realtime objects belong to the connecting user');
    PERFORM ferrobase.ensure_role('supabase_replication_admin', 'LOGIN REPLICATION', NULL);
    PERFORM ferrobase.ensure_role('supabase_etl_admin', 'LOGIN REPLICATION', NULL);
    PERFORM ferrobase.ensure_role('supabase_read_only_user', 'LOGIN BYPASSRLS', NULL);
    PERFORM ferrobase.ensure_role('dashboard_user', 'NOLOGIN CREATEDB CREATEROLE REPLICATION', NULL);
    PERFORM ferrobase.ensure_role('pgbouncer', 'LOGIN', NULL);
END;
$$;

-- One that was there before may lack what secret keys count on.
SELECT ferrobase.attempt('role service_role', 'service_role obeys row level security: secret keys see only what policies allow', $$
    DO $check$
    BEGIN
        IF NOT (SELECT r.rolbypassrls OR r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'service_role') THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = 'it lacks BYPASSRLS';
        END IF;
    END;
    $check$
$$)
WHERE NOT EXISTS (SELECT FROM ferrobase.degradations AS d WHERE d.feature IN ('role service_role', 'missing role service_role'));

DO $$
DECLARE
    api constant text := 'anon, authenticated, service_role';
    version constant integer := current_setting('server_version_num');
    -- From 16 on a member may lack the option to become the role.
    become constant text := CASE WHEN version >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    member record;
BEGIN
    FOR member IN
        SELECT g.role, g.member, g.statement, g.consequence
        FROM (VALUES
            ('anon', 'authenticator', format('GRANT %s TO authenticator', api), 'authenticator cannot become the caller''s role'),
            -- From 16 on CREATEROLE no longer implies the right to grant these on.
            ('anon', 'postgres', format('GRANT %s TO postgres %s', api, CASE WHEN version >= 160000 THEN 'WITH ADMIN OPTION' ELSE '' END),
                'postgres cannot act as the API roles'),
            -- Lets migrations put policies and triggers on the services'
            -- tables, which the hosted platform allows by an extension.
            ('supabase_auth_admin', 'postgres', 'GRANT supabase_auth_admin TO postgres', 'migrations cannot drop triggers on auth tables'),
            ('supabase_storage_admin', 'postgres', 'GRANT supabase_storage_admin TO postgres', 'migrations cannot make policies on storage tables'),
            ('supabase_realtime_admin', 'postgres', 'GRANT supabase_realtime_admin TO postgres', 'migrations cannot make policies on realtime.messages'),
            ('pg_read_all_data', 'supabase_read_only_user', 'GRANT pg_read_all_data TO supabase_read_only_user', 'supabase_read_only_user cannot read'),
            ('pg_monitor', 'postgres', 'GRANT pg_monitor TO postgres', 'postgres cannot see statistics of others')
        ) AS g (role, member, statement, consequence)
        LEFT JOIN pg_catalog.pg_roles AS granted ON granted.rolname = g.role
        LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = g.member
        -- Asking first keeps a shared server's catalogue untouched when a
        -- second database is set up.
        WHERE NOT coalesce(r.rolsuper OR pg_has_role(r.oid, granted.oid, become), false)
    LOOP
        PERFORM ferrobase.attempt(format('grant of %s to %s', member.role, member.member), member.consequence, member.statement);
    END LOOP;

    -- Without superuser we become a role only as its member.
    FOR member IN
        SELECT wanted.role
        FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'postgres']) AS wanted (role)
        LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = wanted.role
        WHERE current_setting('is_superuser') = 'off'
          AND NOT coalesce(pg_has_role(current_user, r.oid, become), false)
    LOOP
        PERFORM ferrobase.attempt(
            format('membership in %s', member.role),
            CASE
                WHEN member.role IN ('anon', 'authenticated', 'service_role')
                THEN format('requests as %s fail unless Ferrobase connects as authenticator', member.role)
                ELSE format('objects made by migrations belong to the connecting user, not to %s', member.role)
            END,
            format('GRANT %I TO %I', member.role, current_user)
        );
    END LOOP;
END;
$$;

DO $$
BEGIN
    PERFORM ferrobase.ensure_role_setting('anon', 'statement_timeout', '''3s''');
    PERFORM ferrobase.ensure_role_setting('authenticated', 'statement_timeout', '''8s''');
    PERFORM ferrobase.ensure_role_setting('authenticator', 'statement_timeout', '''8s''');
    PERFORM ferrobase.ensure_role_setting('authenticator', 'lock_timeout', '''8s''');
    PERFORM ferrobase.ensure_role_setting('supabase_auth_admin', 'search_path', 'auth');
    PERFORM ferrobase.ensure_role_setting('supabase_auth_admin', 'idle_in_transaction_session_timeout', '60000');
    PERFORM ferrobase.ensure_role_setting('supabase_storage_admin', 'search_path', 'storage');
    -- These two are other people's logins on a server that is not ours.
    IF ferrobase.owns_cluster() THEN
        PERFORM ferrobase.ensure_role_setting('postgres', 'search_path', '"$user", public, extensions');
        PERFORM ferrobase.ensure_role_setting('supabase_admin', 'search_path', '"$user", public, auth, extensions');
    END IF;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
