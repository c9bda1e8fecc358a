-- Why: what 0009 left: the tables of being an OAuth server, of signing in with
-- others and of SSO; columns that a project at an older level lacks; the list of
-- GoTrue's migrations; owner, grants and row level security of all of it.
-- Lock impact: creates new objects; ADD COLUMN without a default (or with a
-- constant one) on a table that lacks it, which takes a moment.

-- The OAuth server's grants, and signing in with others.
SELECT ferrobase.ensure_auth('relation', 'oauth_authorizations', $$
    CREATE TABLE auth.oauth_authorizations (
        id uuid NOT NULL CONSTRAINT oauth_authorizations_pkey PRIMARY KEY,
        authorization_id text NOT NULL CONSTRAINT oauth_authorizations_authorization_id_key UNIQUE,
        client_id uuid NOT NULL
            CONSTRAINT oauth_authorizations_client_id_fkey REFERENCES auth.oauth_clients (id) ON DELETE CASCADE,
        user_id uuid
            CONSTRAINT oauth_authorizations_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        redirect_uri text NOT NULL
            CONSTRAINT oauth_authorizations_redirect_uri_length CHECK (char_length(redirect_uri) <= 2048),
        scope text NOT NULL CONSTRAINT oauth_authorizations_scope_length CHECK (char_length(scope) <= 4096),
        state text CONSTRAINT oauth_authorizations_state_length CHECK (char_length(state) <= 4096),
        resource text CONSTRAINT oauth_authorizations_resource_length CHECK (char_length(resource) <= 2048),
        code_challenge text
            CONSTRAINT oauth_authorizations_code_challenge_length CHECK (char_length(code_challenge) <= 128),
        code_challenge_method auth.code_challenge_method,
        response_type auth.oauth_response_type NOT NULL DEFAULT 'code',
        status auth.oauth_authorization_status NOT NULL DEFAULT 'pending',
        authorization_code text
            CONSTRAINT oauth_authorizations_authorization_code_key UNIQUE
            CONSTRAINT oauth_authorizations_authorization_code_length CHECK (char_length(authorization_code) <= 255),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL DEFAULT (now() + '00:03:00'::interval),
        approved_at timestamptz,
        nonce text CONSTRAINT oauth_authorizations_nonce_length CHECK (char_length(nonce) <= 255),
        CONSTRAINT oauth_authorizations_expires_at_future CHECK (expires_at > created_at)
    );
    CREATE INDEX oauth_auth_pending_exp_idx ON auth.oauth_authorizations (expires_at) WHERE status = 'pending'
$$);
SELECT ferrobase.ensure_auth('relation', 'oauth_consents', $$
    CREATE TABLE auth.oauth_consents (
        id uuid NOT NULL CONSTRAINT oauth_consents_pkey PRIMARY KEY,
        user_id uuid NOT NULL
            CONSTRAINT oauth_consents_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        client_id uuid NOT NULL
            CONSTRAINT oauth_consents_client_id_fkey REFERENCES auth.oauth_clients (id) ON DELETE CASCADE,
        scopes text NOT NULL
            CONSTRAINT oauth_consents_scopes_length CHECK (char_length(scopes) <= 2048)
            CONSTRAINT oauth_consents_scopes_not_empty CHECK (char_length(trim(BOTH FROM scopes)) > 0),
        granted_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz,
        CONSTRAINT oauth_consents_revoked_after_granted CHECK (revoked_at IS NULL OR revoked_at >= granted_at),
        CONSTRAINT oauth_consents_user_client_unique UNIQUE (user_id, client_id)
    );
    CREATE INDEX oauth_consents_active_client_idx ON auth.oauth_consents (client_id) WHERE revoked_at IS NULL;
    CREATE INDEX oauth_consents_active_user_client_idx ON auth.oauth_consents (user_id, client_id)
        WHERE revoked_at IS NULL;
    CREATE INDEX oauth_consents_user_order_idx ON auth.oauth_consents (user_id, granted_at DESC)
$$);
SELECT ferrobase.ensure_auth('relation', 'oauth_client_states', $$
    CREATE TABLE auth.oauth_client_states (
        id uuid NOT NULL CONSTRAINT oauth_client_states_pkey PRIMARY KEY,
        provider_type text NOT NULL,
        code_verifier text,
        created_at timestamptz NOT NULL
    );
    CREATE INDEX idx_oauth_client_states_created_at ON auth.oauth_client_states (created_at);
    COMMENT ON TABLE auth.oauth_client_states IS
        'Stores OAuth states for third-party provider authentication flows where Supabase acts as the OAuth client.'
$$);
SELECT ferrobase.ensure_auth('relation', 'custom_oauth_providers', $$
    CREATE TABLE auth.custom_oauth_providers (
        id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT custom_oauth_providers_pkey PRIMARY KEY,
        provider_type text NOT NULL
            CONSTRAINT custom_oauth_providers_provider_type_check CHECK (provider_type IN ('oauth2', 'oidc')),
        identifier text NOT NULL
            CONSTRAINT custom_oauth_providers_identifier_key UNIQUE
            CONSTRAINT custom_oauth_providers_identifier_format CHECK (identifier ~ '^[a-z0-9][a-z0-9:-]{0,48}[a-z0-9]$'),
        name text NOT NULL
            CONSTRAINT custom_oauth_providers_name_length CHECK (char_length(name) >= 1 AND char_length(name) <= 100),
        client_id text NOT NULL
            CONSTRAINT custom_oauth_providers_client_id_length
            CHECK (char_length(client_id) >= 1 AND char_length(client_id) <= 512),
        client_secret text NOT NULL,
        acceptable_client_ids text[] NOT NULL DEFAULT '{}',
        scopes text[] NOT NULL DEFAULT '{}',
        pkce_enabled boolean NOT NULL DEFAULT true,
        attribute_mapping jsonb NOT NULL DEFAULT '{}',
        authorization_params jsonb NOT NULL DEFAULT '{}',
        enabled boolean NOT NULL DEFAULT true,
        email_optional boolean NOT NULL DEFAULT false,
        issuer text,
        discovery_url text,
        skip_nonce_check boolean NOT NULL DEFAULT false,
        cached_discovery jsonb,
        discovery_cached_at timestamptz,
        authorization_url text,
        token_url text,
        userinfo_url text,
        jwks_uri text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        custom_claims_allowlist text[] NOT NULL DEFAULT '{}',
        CONSTRAINT custom_oauth_providers_oidc_requires_issuer CHECK (provider_type <> 'oidc' OR issuer IS NOT NULL),
        CONSTRAINT custom_oauth_providers_oidc_issuer_https
            CHECK (provider_type <> 'oidc' OR issuer IS NULL OR issuer LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_oidc_discovery_url_https
            CHECK (provider_type <> 'oidc' OR discovery_url IS NULL OR discovery_url LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_oauth2_requires_endpoints
            CHECK (provider_type <> 'oauth2'
                   OR (authorization_url IS NOT NULL AND token_url IS NOT NULL AND userinfo_url IS NOT NULL)),
        CONSTRAINT custom_oauth_providers_authorization_url_https
            CHECK (authorization_url IS NULL OR authorization_url LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_token_url_https CHECK (token_url IS NULL OR token_url LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_userinfo_url_https
            CHECK (userinfo_url IS NULL OR userinfo_url LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_jwks_uri_https CHECK (jwks_uri IS NULL OR jwks_uri LIKE 'https://%'),
        CONSTRAINT custom_oauth_providers_issuer_length
            CHECK (issuer IS NULL OR (char_length(issuer) >= 1 AND char_length(issuer) <= 2048)),
        CONSTRAINT custom_oauth_providers_discovery_url_length
            CHECK (discovery_url IS NULL OR char_length(discovery_url) <= 2048),
        CONSTRAINT custom_oauth_providers_authorization_url_length
            CHECK (authorization_url IS NULL OR char_length(authorization_url) <= 2048),
        CONSTRAINT custom_oauth_providers_token_url_length
            CHECK (token_url IS NULL OR char_length(token_url) <= 2048),
        CONSTRAINT custom_oauth_providers_userinfo_url_length
            CHECK (userinfo_url IS NULL OR char_length(userinfo_url) <= 2048),
        CONSTRAINT custom_oauth_providers_jwks_uri_length
            CHECK (jwks_uri IS NULL OR char_length(jwks_uri) <= 2048)
    );
    CREATE INDEX custom_oauth_providers_created_at_idx ON auth.custom_oauth_providers (created_at);
    CREATE INDEX custom_oauth_providers_enabled_idx ON auth.custom_oauth_providers (enabled);
    CREATE INDEX custom_oauth_providers_identifier_idx ON auth.custom_oauth_providers (identifier);
    CREATE INDEX custom_oauth_providers_provider_type_idx ON auth.custom_oauth_providers (provider_type)
$$);

-- SSO: the tables of a dump must have a place; nothing here reads them.
SELECT ferrobase.ensure_auth('relation', 'sso_providers', $$
    CREATE TABLE auth.sso_providers (
        id uuid NOT NULL CONSTRAINT sso_providers_pkey PRIMARY KEY,
        resource_id text
            CONSTRAINT "resource_id not empty" CHECK (resource_id = NULL::text OR char_length(resource_id) > 0),
        created_at timestamptz,
        updated_at timestamptz,
        disabled boolean
    );
    CREATE UNIQUE INDEX sso_providers_resource_id_idx ON auth.sso_providers (lower(resource_id));
    CREATE INDEX sso_providers_resource_id_pattern_idx ON auth.sso_providers (resource_id text_pattern_ops);
    COMMENT ON TABLE auth.sso_providers IS
        'Auth: Manages SSO identity provider information; see saml_providers for SAML.';
    COMMENT ON COLUMN auth.sso_providers.resource_id IS
        'Auth: Uniquely identifies a SSO provider according to a user-chosen resource ID (case insensitive), useful in infrastructure as code.'
$$);
SELECT ferrobase.ensure_auth('relation', 'sso_domains', $$
    CREATE TABLE auth.sso_domains (
        id uuid NOT NULL CONSTRAINT sso_domains_pkey PRIMARY KEY,
        sso_provider_id uuid NOT NULL
            CONSTRAINT sso_domains_sso_provider_id_fkey REFERENCES auth.sso_providers (id) ON DELETE CASCADE,
        domain text NOT NULL CONSTRAINT "domain not empty" CHECK (char_length(domain) > 0),
        created_at timestamptz,
        updated_at timestamptz
    );
    CREATE UNIQUE INDEX sso_domains_domain_idx ON auth.sso_domains (lower(domain));
    CREATE INDEX sso_domains_sso_provider_id_idx ON auth.sso_domains (sso_provider_id);
    COMMENT ON TABLE auth.sso_domains IS
        'Auth: Manages SSO email address domain mapping to an SSO Identity Provider.'
$$);
SELECT ferrobase.ensure_auth('relation', 'saml_providers', $$
    CREATE TABLE auth.saml_providers (
        id uuid NOT NULL CONSTRAINT saml_providers_pkey PRIMARY KEY,
        sso_provider_id uuid NOT NULL
            CONSTRAINT saml_providers_sso_provider_id_fkey REFERENCES auth.sso_providers (id) ON DELETE CASCADE,
        entity_id text NOT NULL
            CONSTRAINT saml_providers_entity_id_key UNIQUE
            CONSTRAINT "entity_id not empty" CHECK (char_length(entity_id) > 0),
        metadata_xml text NOT NULL CONSTRAINT "metadata_xml not empty" CHECK (char_length(metadata_xml) > 0),
        metadata_url text
            CONSTRAINT "metadata_url not empty" CHECK (metadata_url = NULL::text OR char_length(metadata_url) > 0),
        attribute_mapping jsonb,
        created_at timestamptz,
        updated_at timestamptz,
        name_id_format text
    );
    CREATE INDEX saml_providers_sso_provider_id_idx ON auth.saml_providers (sso_provider_id);
    COMMENT ON TABLE auth.saml_providers IS 'Auth: Manages SAML Identity Provider connections.'
$$);
SELECT ferrobase.ensure_auth('relation', 'saml_relay_states', $$
    CREATE TABLE auth.saml_relay_states (
        id uuid NOT NULL CONSTRAINT saml_relay_states_pkey PRIMARY KEY,
        sso_provider_id uuid NOT NULL
            CONSTRAINT saml_relay_states_sso_provider_id_fkey REFERENCES auth.sso_providers (id) ON DELETE CASCADE,
        request_id text NOT NULL CONSTRAINT "request_id not empty" CHECK (char_length(request_id) > 0),
        for_email text,
        redirect_to text,
        created_at timestamptz,
        updated_at timestamptz,
        flow_state_id uuid
            CONSTRAINT saml_relay_states_flow_state_id_fkey REFERENCES auth.flow_state (id) ON DELETE CASCADE
    );
    CREATE INDEX saml_relay_states_created_at_idx ON auth.saml_relay_states (created_at DESC);
    CREATE INDEX saml_relay_states_for_email_idx ON auth.saml_relay_states (for_email);
    CREATE INDEX saml_relay_states_sso_provider_id_idx ON auth.saml_relay_states (sso_provider_id);
    COMMENT ON TABLE auth.saml_relay_states IS
        'Auth: Contains SAML Relay State information for each Service Provider initiated login.'
$$);

-- Columns that a project at an older level lacks.
SELECT ferrobase.ensure_auth_column(c.tab, c.col, c.definition)
FROM (VALUES
    ('users', 'is_anonymous', 'boolean NOT NULL DEFAULT false'),
    ('sessions', 'tag', 'text'),
    ('sessions', 'refreshed_at', 'timestamp'),
    ('sessions', 'user_agent', 'text'),
    ('sessions', 'ip', 'inet'),
    ('sessions', 'oauth_client_id', 'uuid'),
    ('sessions', 'refresh_token_hmac_key', 'text'),
    ('sessions', 'refresh_token_counter', 'bigint'),
    ('sessions', 'scopes', 'text'),
    ('flow_state', 'auth_code_issued_at', 'timestamptz'),
    ('flow_state', 'invite_token', 'text'),
    ('flow_state', 'referrer', 'text'),
    ('flow_state', 'oauth_client_state_id', 'uuid'),
    ('flow_state', 'linking_target_id', 'uuid'),
    ('flow_state', 'email_optional', 'boolean NOT NULL DEFAULT false'),
    ('mfa_factors', 'phone', 'text'),
    ('mfa_factors', 'last_challenged_at', 'timestamptz'),
    ('mfa_factors', 'web_authn_credential', 'jsonb'),
    ('mfa_factors', 'web_authn_aaguid', 'uuid'),
    ('mfa_factors', 'last_webauthn_challenge_data', 'jsonb'),
    ('mfa_challenges', 'otp_code', 'text'),
    ('mfa_challenges', 'web_authn_session_data', 'jsonb'),
    ('sso_providers', 'disabled', 'boolean'),
    ('custom_oauth_providers', 'custom_claims_allowlist', $$text[] NOT NULL DEFAULT '{}'$$)
) AS c (tab, col, definition);

-- The level, for a GoTrue that should ever be pointed here. A database that
-- already keeps this list is at the level that its own rows tell.
DO $$
BEGIN
    IF NOT has_table_privilege(current_user, 'auth.schema_migrations', 'INSERT')
       OR EXISTS (SELECT FROM auth.schema_migrations)
    THEN
        RETURN;
    END IF;
    INSERT INTO auth.schema_migrations (version) VALUES
        ('00'),
        ('20210710035447'),
        ('20210722035447'),
        ('20210730183235'),
        ('20210909172000'),
        ('20210927181326'),
        ('20211122151130'),
        ('20211124214934'),
        ('20211202183645'),
        ('20220114185221'),
        ('20220114185340'),
        ('20220224000811'),
        ('20220323170000'),
        ('20220429102000'),
        ('20220531120530'),
        ('20220614074223'),
        ('20220811173540'),
        ('20221003041349'),
        ('20221003041400'),
        ('20221011041400'),
        ('20221020193600'),
        ('20221021073300'),
        ('20221021082433'),
        ('20221027105023'),
        ('20221114143122'),
        ('20221114143410'),
        ('20221125140132'),
        ('20221208132122'),
        ('20221215195500'),
        ('20221215195800'),
        ('20221215195900'),
        ('20230116124310'),
        ('20230116124412'),
        ('20230131181311'),
        ('20230322519590'),
        ('20230402418590'),
        ('20230411005111'),
        ('20230508135423'),
        ('20230523124323'),
        ('20230818113222'),
        ('20230914180801'),
        ('20231027141322'),
        ('20231114161723'),
        ('20231117164230'),
        ('20240115144230'),
        ('20240214120130'),
        ('20240306115329'),
        ('20240314092811'),
        ('20240427152123'),
        ('20240612123726'),
        ('20240729123726'),
        ('20240802193726'),
        ('20240806073726'),
        ('20241009103726'),
        ('20250717082212'),
        ('20250731150234'),
        ('20250804100000'),
        ('20250901200500'),
        ('20250903112500'),
        ('20250904133000'),
        ('20250925093508'),
        ('20251007112900'),
        ('20251104100000'),
        ('20251111201300'),
        ('20251201000000'),
        ('20260115000000'),
        ('20260121000000'),
        ('20260219120000'),
        ('20260302000000'),
        ('20260625000000');
EXCEPTION
    WHEN undefined_table OR insufficient_privilege THEN
        NULL;
END;
$$;

-- Owner, grants and row level security, only for what we made.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS name
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = to_regnamespace('auth')
          AND c.relkind = 'r'
          AND c.relowner = current_user::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', item.name);
        PERFORM ferrobase.attempt(format('%s for postgres', item.name), 'migrations and seeds cannot use it',
            format('GRANT ALL ON %s TO postgres, dashboard_user', item.name));
    END LOOP;
    PERFORM ferrobase.attempt('auth sequences for postgres', 'seeds cannot make refresh tokens',
        'GRANT ALL ON SEQUENCE auth.refresh_tokens_id_seq TO postgres, dashboard_user')
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = to_regclass('auth.refresh_tokens_id_seq') AND c.relowner = current_user::regrole;
    IF current_setting('is_superuser') = 'off' THEN
        RETURN;
    END IF;
    FOR item IN
        SELECT t.oid::regtype AS name
        FROM pg_catalog.pg_type AS t
        WHERE t.typnamespace = to_regnamespace('auth')
          AND t.typtype = 'e'
          AND t.typowner = current_user::regrole
    LOOP
        EXECUTE format('ALTER TYPE %s OWNER TO supabase_auth_admin', item.name);
    END LOOP;
    PERFORM ferrobase.hand_over('auth', 'supabase_auth_admin');
END;
$$;

-- Signing in runs as this role and as nothing else.
SELECT ferrobase.attempt('membership in supabase_auth_admin', 'sign-in runs as the connecting user instead of supabase_auth_admin',
    format('GRANT supabase_auth_admin TO %I', current_user))
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = 'supabase_auth_admin'
  AND current_setting('is_superuser') = 'off'
  AND NOT pg_has_role(current_user, r.oid, 'MEMBER');
