-- Why: existing migrations set up the data API from within the database: ALTER
-- ROLE authenticator SET pgrst.db_aggregates_enabled = 'true'. They run as
-- postgres, which is no superuser, and PostgreSQL lets only those who hold SET
-- on such a parameter store it; the hosted platform allows it by an extension.
-- From 16 on it also takes the admin option on the role that is altered.
-- PostgreSQL 14 cannot grant this: there it stays with superusers, who need
-- nothing from here.
-- Lock impact: rows in pg_parameter_acl and pg_auth_members; no table locks.

DO $$
DECLARE
    consequence constant text :=
        'migrations cannot ALTER ROLE authenticator SET pgrst.…: say these settings in ferrobase.toml';
    version constant integer := current_setting('server_version_num');
    -- Every setting that PostgREST reads from the database, known here or not:
    -- a migration that sets one must not fail.
    missing text;
BEGIN
    IF version < 150000 OR (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'postgres') THEN
        RETURN;
    END IF;

    -- Asking first keeps a shared server's catalogue untouched when a second
    -- database is set up.
    SELECT string_agg(format('%I', wanted.name), ', ')
    INTO missing
    FROM (
        SELECT 'pgrst.' || setting
        FROM unnest(ARRAY[
            'client_error_verbosity',
            'db_aggregates_enabled',
            'db_anon_role',
            'db_extra_search_path',
            'db_hoisted_tx_settings',
            'db_max_rows',
            'db_plan_enabled',
            'db_pre_config',
            'db_pre_request',
            'db_prepared_statements',
            'db_root_spec',
            'db_schemas',
            'db_timezone_enabled',
            'db_tx_end',
            'jwt_aud',
            'jwt_cache_max_entries',
            'jwt_cache_max_lifetime',
            'jwt_role_claim_key',
            'jwt_secret',
            'jwt_secret_is_base64',
            'openapi_mode',
            'openapi_security_active',
            'openapi_server_proxy_uri',
            'server_cors_allowed_origins',
            'server_timing_enabled',
            'server_trace_header',
            'url_use_legacy_target_names'
        ]) AS known (setting)
    ) AS wanted (name)
    LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = 'postgres'
    WHERE NOT coalesce(has_parameter_privilege(r.oid, wanted.name, 'SET'), false);

    IF missing IS NOT NULL THEN
        PERFORM ferrobase.attempt('settings of the data API', consequence,
            format('GRANT SET ON PARAMETER %s TO postgres', missing));
    END IF;

    IF version >= 160000 AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_auth_members AS m
        WHERE m.admin_option
          AND m.roleid = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'authenticator')
          AND m.member = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'postgres')
    ) THEN
        -- To alter it, not to be it.
        PERFORM ferrobase.attempt('admin option on authenticator', consequence,
            'GRANT authenticator TO postgres WITH ADMIN TRUE, INHERIT FALSE, SET FALSE');
    END IF;
END;
$$;
