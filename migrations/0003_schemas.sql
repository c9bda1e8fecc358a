-- Why: the schemas, the search path, the default privileges and the extensions
-- that existing projects assume. New objects in `public` are open to the API
-- roles by grant and closed by row level security, as on Supabase; tables that
-- forget the second half are the business of 0007.
-- Lock impact: rows in pg_namespace, pg_default_acl and pg_database; CREATE
-- EXTENSION locks only what it creates.

CREATE FUNCTION ferrobase.ensure_schema(name text, owner text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = name) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE SCHEMA %I', name);
    -- A schema that cannot be handed over simply stays ours.
    IF current_setting('is_superuser') = 'on' THEN
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', name, owner);
    END IF;
END;
$$;

-- GRANT without the grant option is a mere warning; this makes it a refusal.
CREATE FUNCTION ferrobase.confirm(granted boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT granted THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s may not grant it', current_user);
    END IF;
END;
$$;

DO $$
DECLARE
    consequence constant text := 'objects in this schema may be out of reach of the API roles';
    item record;
BEGIN
    PERFORM ferrobase.ensure_schema('public', 'postgres');
    PERFORM ferrobase.ensure_schema('extensions', 'postgres');
    PERFORM ferrobase.ensure_schema('auth', 'supabase_admin');
    PERFORM ferrobase.ensure_schema('storage', 'supabase_admin');
    PERFORM ferrobase.ensure_schema('realtime', 'supabase_admin');
    PERFORM ferrobase.ensure_schema('graphql_public', 'supabase_admin');
    -- The official CLI keeps its migration history here, as `postgres`.
    PERFORM ferrobase.ensure_schema('supabase_migrations', 'postgres');

    IF ferrobase.owns_cluster() THEN
        -- As on Supabase the developer's role owns the database, so that
        -- migrations may ALTER DATABASE and install trusted extensions.
        EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database());
        IF current_setting('server_version_num')::integer < 150000 THEN
            ALTER SCHEMA public OWNER TO postgres;
            REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        END IF;
    END IF;

    FOR item IN
        SELECT g.schema, g.grantees
        FROM (VALUES
            ('public', 'postgres, anon, authenticated, service_role'),
            ('extensions', 'postgres, anon, authenticated, service_role'),
            ('auth', 'postgres, anon, authenticated, service_role'),
            ('storage', 'postgres, anon, authenticated, service_role'),
            ('realtime', 'postgres, anon, authenticated, service_role'),
            ('graphql_public', 'postgres, anon, authenticated, service_role')
        ) AS g (schema, grantees)
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = g.schema
        -- A grant through PUBLIC would go with a REVOKE ... FROM PUBLIC, so in
        -- our own cluster each role gets its own.
        WHERE ferrobase.owns_cluster() OR EXISTS (
            SELECT
            FROM unnest(string_to_array(g.grantees, ', ')) AS grantee
            LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = grantee
            WHERE r.oid IS NULL OR NOT has_schema_privilege(r.oid, n.oid, 'USAGE')
        )
    LOOP
        PERFORM ferrobase.attempt(
            'usage of schema ' || item.schema, consequence,
            format('GRANT USAGE ON SCHEMA %I TO %s; '
                   'SELECT ferrobase.confirm(bool_and(has_schema_privilege(grantee, %L, ''USAGE''))) '
                   'FROM unnest(string_to_array(%L, '', '')) AS grantee',
                   item.schema, item.grantees, item.schema, item.grantees)
        );
    END LOOP;

    -- Migrations work inside these schemas too: triggers on auth.users,
    -- policies on storage.objects, helper functions beside them.
    FOR item IN
        SELECT g.schema, g.grantee
        FROM (VALUES
            ('public', 'postgres'), ('extensions', 'postgres'), ('auth', 'postgres'), ('storage', 'postgres'),
            ('extensions', 'dashboard_user'), ('auth', 'dashboard_user'), ('storage', 'dashboard_user'),
            ('auth', 'supabase_auth_admin'), ('storage', 'supabase_storage_admin'), ('realtime', 'supabase_realtime_admin')
        ) AS g (schema, grantee)
        JOIN pg_catalog.pg_roles AS r ON r.rolname = g.grantee
        WHERE NOT has_schema_privilege(r.oid, g.schema, 'CREATE')
    LOOP
        PERFORM ferrobase.attempt(
            format('creation in schema %s by %s', item.schema, item.grantee),
            format('%s cannot create objects in schema %s', item.grantee, item.schema),
            format('GRANT ALL ON SCHEMA %I TO %I; SELECT ferrobase.confirm(has_schema_privilege(%L, %L, ''CREATE''))',
                   item.schema, item.grantee, item.grantee, item.schema)
        );
    END LOOP;
END;
$$;

-- Default privileges: for the two roles of a Supabase project, and for whoever
-- runs migrations when that is somebody else.
DO $$
DECLARE
    maker record;
    kind text;
BEGIN
    FOR maker IN
        SELECT r.rolname, n.nspname
        FROM pg_catalog.pg_roles AS r
        CROSS JOIN pg_catalog.pg_namespace AS n
        WHERE r.rolname IN ('postgres', 'supabase_admin', current_user)
          AND n.nspname IN ('public', 'graphql_public')
          -- On a server that is not ours supabase_admin makes nothing.
          AND (r.rolname <> 'supabase_admin' OR pg_has_role(current_user, r.oid, 'USAGE'))
          -- `public` once complete is left alone: some projects narrow it.
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_default_acl AS d
              WHERE d.defaclrole = r.oid AND d.defaclnamespace = n.oid
          )
    LOOP
        -- The function is the wrapper's business in graphql_public.
        FOREACH kind IN ARRAY ARRAY['TABLES', 'SEQUENCES', 'FUNCTIONS'] LOOP
            PERFORM ferrobase.attempt(
                format('default privileges of %s on %s in %s', maker.rolname, lower(kind), maker.nspname),
                format('new %s made by %s in schema %s need their own GRANT to the API roles', lower(kind), maker.rolname, maker.nspname),
                format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT ALL ON %s TO postgres, anon, authenticated, service_role',
                       maker.rolname, maker.nspname, kind)
            );
        END LOOP;
    END LOOP;
END;
$$;

-- search_path of every session that does not choose its own.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        CROSS JOIN LATERAL unnest(s.setconfig) AS chosen (pair)
        WHERE d.datname = current_database() AND s.setrole = 0 AND chosen.pair LIKE 'search\_path=%'
    ) THEN
        PERFORM ferrobase.attempt(
            'search_path of the database',
            'functions of extensions must be written with their schema, as in extensions.uuid_generate_v4()',
            format('ALTER DATABASE %I SET search_path = "$user", public, extensions', current_database())
        );
    END IF;
END;
$$;

-- Extensions every project may count on. pg_stat_statements is worth having
-- only where the server preloads it; elsewhere each query of it would fail.
DO $$
DECLARE
    extension record;
BEGIN
    FOR extension IN
        SELECT w.name, w.consequence, a.name IS NOT NULL AS available, a.installed_version IS NOT NULL AS installed
        FROM (VALUES
            ('uuid-ossp', 'uuid_generate_v4() and its sisters are missing; gen_random_uuid() is built in'),
            ('pgcrypto', 'crypt(), digest(), pgp_sym_encrypt() and their sisters are missing'),
            ('pg_stat_statements', 'statement statistics are missing')
        ) AS w (name, consequence)
        LEFT JOIN pg_catalog.pg_available_extensions AS a ON a.name = w.name
        WHERE w.name <> 'pg_stat_statements'
           -- The view leaves out what we may not see; current_setting() fails.
           OR EXISTS (
               SELECT FROM pg_catalog.pg_settings AS s
               WHERE s.name = 'shared_preload_libraries' AND s.setting ~ '\mpg_stat_statements\M'
           )
    LOOP
        IF extension.installed THEN
            CONTINUE;
        ELSIF NOT extension.available THEN
            PERFORM ferrobase.degrade('extension ' || extension.name, 'not installed on the server', extension.consequence,
                format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA extensions', extension.name));
        ELSE
            PERFORM ferrobase.attempt('extension ' || extension.name, extension.consequence,
                format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA extensions', extension.name));
        END IF;
    END LOOP;
END;
$$;

-- Extensions that the hosted platform lets `postgres` install although
-- PostgreSQL reserves them for superusers. Harmless ones only: nothing that
-- reads files or runs other languages.
CREATE FUNCTION ferrobase.install_extension(name text, schema text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name NOT IN ('autoinc', 'bloom', 'http', 'hypopg', 'index_advisor', 'insert_username', 'moddatetime',
                    'pg_cron', 'pg_graphql', 'pg_jsonschema', 'pg_net', 'pg_stat_statements', 'pg_walinspect',
                    'pgjwt', 'pgmq', 'pgrouting', 'pgrowlocks', 'pgstattuple', 'pgtap', 'plpgsql_check', 'postgis',
                    'postgis_raster', 'postgis_sfcgal', 'postgis_topology', 'refint', 'rum', 'supabase_vault', 'vector')
    THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied to create extension "%s"', name),
            HINT = 'Install it as a superuser.';
    END IF;
    -- An extension that insists on a schema gets it. Otherwise it goes where
    -- the statement said, or where it would have gone on the usual path.
    EXECUTE format(
        'CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I CASCADE',
        name,
        coalesce((SELECT max(v.schema) FROM pg_available_extension_versions AS v WHERE v.name = install_extension.name),
                 schema, 'public')
    );
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
-- pg_dump and the official CLI look at every schema as `postgres`.
SELECT ferrobase.attempt('ledger for postgres', 'postgres cannot see or dump schema ferrobase', $$
    GRANT USAGE ON SCHEMA ferrobase TO postgres;
    GRANT SELECT ON ferrobase.schema_migrations, ferrobase.degradations TO postgres;
    GRANT EXECUTE ON FUNCTION ferrobase.install_extension(text, text) TO postgres
$$);
