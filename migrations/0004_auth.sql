-- Why: policies call auth.uid() and its sisters, migrations reference
-- auth.users(id) and hang triggers on it, seeds insert users and identities.
-- Columns, constraints and index names are those of a current Supabase
-- project, so that dumps move both ways. The rest of the schema comes with the
-- auth room. What exists already (a real Supabase project) is not touched.
-- Lock impact: creates new objects only; no existing relation is locked.

DO $$
BEGIN
    IF to_regclass('auth.users') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE TABLE auth.users (
        instance_id uuid,
        id uuid NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
        aud varchar(255),
        role varchar(255),
        email varchar(255),
        encrypted_password varchar(255),
        email_confirmed_at timestamptz,
        invited_at timestamptz,
        confirmation_token varchar(255),
        confirmation_sent_at timestamptz,
        recovery_token varchar(255),
        recovery_sent_at timestamptz,
        email_change_token_new varchar(255),
        email_change varchar(255),
        email_change_sent_at timestamptz,
        last_sign_in_at timestamptz,
        raw_app_meta_data jsonb,
        raw_user_meta_data jsonb,
        is_super_admin boolean,
        created_at timestamptz,
        updated_at timestamptz,
        phone text DEFAULT NULL CONSTRAINT users_phone_key UNIQUE,
        phone_confirmed_at timestamptz,
        phone_change text DEFAULT '',
        phone_change_token varchar(255) DEFAULT '',
        phone_change_sent_at timestamptz,
        confirmed_at timestamptz GENERATED ALWAYS AS (LEAST(email_confirmed_at, phone_confirmed_at)) STORED,
        email_change_token_current varchar(255) DEFAULT '',
        email_change_confirm_status smallint DEFAULT 0
            CONSTRAINT users_email_change_confirm_status_check CHECK (email_change_confirm_status BETWEEN 0 AND 2),
        banned_until timestamptz,
        reauthentication_token varchar(255) DEFAULT '',
        reauthentication_sent_at timestamptz,
        is_sso_user boolean NOT NULL DEFAULT false,
        deleted_at timestamptz,
        is_anonymous boolean NOT NULL DEFAULT false
    );
    COMMENT ON TABLE auth.users IS 'Auth: Stores user login data within a secure schema.';
    COMMENT ON COLUMN auth.users.is_sso_user IS
        'Auth: Set this column to true when the account comes from SSO. These accounts can have duplicate emails.';

    CREATE INDEX users_instance_id_idx ON auth.users (instance_id);
    CREATE INDEX users_instance_id_email_idx ON auth.users (instance_id, lower(email::text));
    CREATE INDEX users_is_anonymous_idx ON auth.users (is_anonymous);
    CREATE UNIQUE INDEX users_email_partial_key ON auth.users (email) WHERE is_sso_user = false;
    -- Tokens are unique among themselves; blanks and one-time codes are not tokens.
    CREATE UNIQUE INDEX confirmation_token_idx ON auth.users (confirmation_token) WHERE confirmation_token !~ '^[0-9 ]*$';
    CREATE UNIQUE INDEX recovery_token_idx ON auth.users (recovery_token) WHERE recovery_token !~ '^[0-9 ]*$';
    CREATE UNIQUE INDEX email_change_token_current_idx ON auth.users (email_change_token_current)
        WHERE email_change_token_current !~ '^[0-9 ]*$';
    CREATE UNIQUE INDEX email_change_token_new_idx ON auth.users (email_change_token_new)
        WHERE email_change_token_new !~ '^[0-9 ]*$';
    CREATE UNIQUE INDEX reauthentication_token_idx ON auth.users (reauthentication_token)
        WHERE reauthentication_token !~ '^[0-9 ]*$';
    ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
END;
$$;

DO $$
BEGIN
    IF to_regclass('auth.identities') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE TABLE auth.identities (
        provider_id text NOT NULL,
        user_id uuid NOT NULL
            CONSTRAINT identities_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        identity_data jsonb NOT NULL,
        provider text NOT NULL,
        last_sign_in_at timestamptz,
        created_at timestamptz,
        updated_at timestamptz,
        email text GENERATED ALWAYS AS (lower(identity_data ->> 'email')) STORED,
        id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT identities_pkey PRIMARY KEY,
        CONSTRAINT identities_provider_id_provider_unique UNIQUE (provider_id, provider)
    );
    COMMENT ON TABLE auth.identities IS 'Auth: Stores identities associated to a user.';
    COMMENT ON COLUMN auth.identities.email IS
        'Auth: Email is a generated column that references the optional email property in the identity_data';
    CREATE INDEX identities_user_id_idx ON auth.identities (user_id);
    CREATE INDEX identities_email_idx ON auth.identities (email text_pattern_ops);
    ALTER TABLE auth.identities ENABLE ROW LEVEL SECURITY;
END;
$$;

-- Each reads one claim: first the setting per claim that older gateways set,
-- then the claims document. `true` makes a missing setting NULL, and a setting
-- once made local reads as '' afterwards, hence the nullif.
DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
            )::uuid
        $body$;
    END IF;
    IF to_regprocedure('auth.role()') IS NULL THEN
        CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.role', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
            )::text
        $body$;
    END IF;
    IF to_regprocedure('auth.email()') IS NULL THEN
        CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.email', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
            )::text
        $body$;
    END IF;
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')
            )::jsonb
        $body$;
    END IF;
END;
$$;

-- Ownership and grants, only for what this database did not bring along.
CREATE FUNCTION ferrobase.hand_over(schema text, owner text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    item record;
BEGIN
    IF current_setting('is_superuser') = 'off' THEN
        RETURN;
    END IF;
    FOR item IN
        SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, owner) AS statement
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = to_regnamespace(schema)
          AND c.relkind IN ('r', 'p')
          AND c.relowner = current_user::regrole
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, owner)
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = to_regnamespace(schema)
          AND p.proowner = current_user::regrole
    LOOP
        EXECUTE item.statement;
    END LOOP;
END;
$$;

DO $$
BEGIN
    IF has_table_privilege(current_user, 'auth.users', 'SELECT WITH GRANT OPTION') THEN
        PERFORM ferrobase.hand_over('auth', 'supabase_auth_admin');
        PERFORM ferrobase.attempt('auth tables for postgres', 'migrations cannot reference or seed auth.users',
            'GRANT ALL ON auth.users, auth.identities TO postgres, dashboard_user');
    END IF;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
SELECT ferrobase.attempt('extensions for postgres', 'postgres cannot install extensions that need a superuser',
    'GRANT EXECUTE ON FUNCTION ferrobase.install_extension(text, text) TO postgres');
