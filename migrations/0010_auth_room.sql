-- Why: the rest of schema `auth`, so that the auth room has its sessions,
-- tokens and factors, and so that dumps of a current Supabase project move both
-- ways: names, columns, constraints and indexes are theirs at level
-- 20260625000000. What exists already is left as it is. 0010 has the rest, and
-- hands all of it over.
-- Lock impact: creates new objects only; no existing relation is locked.

-- One statement for an object of this schema, when the object is missing. A
-- refusal is a line in the report, not an end.
CREATE FUNCTION ferrobase.ensure_auth(kind text, name text, statement text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (kind = 'type' AND to_regtype('auth.' || quote_ident(name)) IS NOT NULL)
       OR (kind = 'relation' AND to_regclass('auth.' || quote_ident(name)) IS NOT NULL)
    THEN
        RETURN;
    END IF;
    PERFORM ferrobase.attempt(format('%s auth.%s', kind, name), 'parts of sign-in that need it fail', statement);
END;
$$;

CREATE FUNCTION ferrobase.ensure_auth_column(tab text, col text, definition text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass('auth.' || quote_ident(tab)) AND attname = col AND NOT attisdropped
    ) THEN
        RETURN;
    END IF;
    PERFORM ferrobase.attempt(format('column auth.%s.%s', tab, col), 'parts of sign-in that need it fail',
        format('ALTER TABLE auth.%I ADD COLUMN IF NOT EXISTS %I %s', tab, col, definition));
END;
$$;

SELECT ferrobase.ensure_auth('type', t.name, format('CREATE TYPE auth.%I AS ENUM (%s)', t.name, t.labels))
FROM (VALUES
    ('factor_type', $$'totp', 'webauthn', 'phone'$$),
    ('factor_status', $$'unverified', 'verified'$$),
    ('aal_level', $$'aal1', 'aal2', 'aal3'$$),
    ('code_challenge_method', $$'s256', 'plain'$$),
    ('one_time_token_type', $$'confirmation_token', 'reauthentication_token', 'recovery_token',
                              'email_change_token_new', 'email_change_token_current', 'phone_change_token'$$),
    ('oauth_registration_type', $$'dynamic', 'manual'$$),
    ('oauth_authorization_status', $$'pending', 'approved', 'denied', 'expired'$$),
    ('oauth_response_type', $$'code'$$),
    ('oauth_client_type', $$'public', 'confidential'$$)
) AS t (name, labels);

-- Bookkeeping.
SELECT ferrobase.ensure_auth('relation', 'schema_migrations', $$
    CREATE TABLE auth.schema_migrations (
        version varchar(255) NOT NULL CONSTRAINT schema_migrations_pkey PRIMARY KEY
    );
    COMMENT ON TABLE auth.schema_migrations IS 'Auth: Manages updates to the auth system.'
$$);
SELECT ferrobase.ensure_auth('relation', 'instances', $$
    CREATE TABLE auth.instances (
        id uuid NOT NULL CONSTRAINT instances_pkey PRIMARY KEY,
        uuid uuid,
        raw_base_config text,
        created_at timestamptz,
        updated_at timestamptz
    );
    COMMENT ON TABLE auth.instances IS 'Auth: Manages users across multiple sites.'
$$);
SELECT ferrobase.ensure_auth('relation', 'audit_log_entries', $$
    CREATE TABLE auth.audit_log_entries (
        instance_id uuid,
        id uuid NOT NULL CONSTRAINT audit_log_entries_pkey PRIMARY KEY,
        payload json,
        created_at timestamptz,
        ip_address varchar(64) NOT NULL DEFAULT ''
    );
    CREATE INDEX audit_logs_instance_id_idx ON auth.audit_log_entries (instance_id);
    COMMENT ON TABLE auth.audit_log_entries IS 'Auth: Audit trail for user actions.'
$$);

-- Being an OAuth 2.1 server; sessions refer to its clients.
SELECT ferrobase.ensure_auth('relation', 'oauth_clients', $$
    CREATE TABLE auth.oauth_clients (
        id uuid NOT NULL CONSTRAINT oauth_clients_pkey PRIMARY KEY,
        client_secret_hash text,
        registration_type auth.oauth_registration_type NOT NULL,
        redirect_uris text NOT NULL,
        grant_types text NOT NULL,
        client_name text CONSTRAINT oauth_clients_client_name_length CHECK (char_length(client_name) <= 1024),
        client_uri text CONSTRAINT oauth_clients_client_uri_length CHECK (char_length(client_uri) <= 2048),
        logo_uri text CONSTRAINT oauth_clients_logo_uri_length CHECK (char_length(logo_uri) <= 2048),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz,
        client_type auth.oauth_client_type NOT NULL DEFAULT 'confidential',
        token_endpoint_auth_method text NOT NULL
            CONSTRAINT oauth_clients_token_endpoint_auth_method_check
            CHECK (token_endpoint_auth_method IN ('client_secret_basic', 'client_secret_post', 'none'))
    );
    CREATE INDEX oauth_clients_deleted_at_idx ON auth.oauth_clients (deleted_at)
$$);

-- Sessions and what keeps them alive.
SELECT ferrobase.ensure_auth('relation', 'sessions', $$
    CREATE TABLE auth.sessions (
        id uuid NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        created_at timestamptz,
        updated_at timestamptz,
        factor_id uuid,
        aal auth.aal_level,
        not_after timestamptz,
        refreshed_at timestamp,
        user_agent text,
        ip inet,
        tag text,
        oauth_client_id uuid
            CONSTRAINT sessions_oauth_client_id_fkey REFERENCES auth.oauth_clients (id) ON DELETE CASCADE,
        refresh_token_hmac_key text,
        refresh_token_counter bigint,
        scopes text CONSTRAINT sessions_scopes_length CHECK (char_length(scopes) <= 4096)
    );
    CREATE INDEX sessions_not_after_idx ON auth.sessions (not_after DESC);
    CREATE INDEX sessions_oauth_client_id_idx ON auth.sessions (oauth_client_id);
    CREATE INDEX sessions_user_id_idx ON auth.sessions (user_id);
    CREATE INDEX user_id_created_at_idx ON auth.sessions (user_id, created_at);
    COMMENT ON TABLE auth.sessions IS 'Auth: Stores session data associated to a user.';
    COMMENT ON COLUMN auth.sessions.not_after IS
        'Auth: Not after is a nullable column that contains a timestamp after which the session should be regarded as expired.';
    COMMENT ON COLUMN auth.sessions.refresh_token_hmac_key IS
        'Holds a HMAC-SHA256 key used to sign refresh tokens for this session.';
    COMMENT ON COLUMN auth.sessions.refresh_token_counter IS
        'Holds the ID (counter) of the last issued refresh token.'
$$);
SELECT ferrobase.ensure_auth('relation', 'refresh_tokens', $$
    CREATE TABLE auth.refresh_tokens (
        instance_id uuid,
        id bigserial NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
        token varchar(255) CONSTRAINT refresh_tokens_token_unique UNIQUE,
        user_id varchar(255),
        revoked boolean,
        created_at timestamptz,
        updated_at timestamptz,
        parent varchar(255),
        session_id uuid
            CONSTRAINT refresh_tokens_session_id_fkey REFERENCES auth.sessions (id) ON DELETE CASCADE
    );
    CREATE INDEX refresh_tokens_instance_id_idx ON auth.refresh_tokens (instance_id);
    CREATE INDEX refresh_tokens_instance_id_user_id_idx ON auth.refresh_tokens (instance_id, user_id);
    CREATE INDEX refresh_tokens_parent_idx ON auth.refresh_tokens (parent);
    CREATE INDEX refresh_tokens_session_id_revoked_idx ON auth.refresh_tokens (session_id, revoked);
    CREATE INDEX refresh_tokens_updated_at_idx ON auth.refresh_tokens (updated_at DESC);
    COMMENT ON TABLE auth.refresh_tokens IS
        'Auth: Store of tokens used to refresh JWT tokens once they expire.'
$$);
SELECT ferrobase.ensure_auth('relation', 'mfa_amr_claims', $$
    CREATE TABLE auth.mfa_amr_claims (
        session_id uuid NOT NULL
            CONSTRAINT mfa_amr_claims_session_id_fkey REFERENCES auth.sessions (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        authentication_method text NOT NULL,
        id uuid NOT NULL CONSTRAINT amr_id_pk PRIMARY KEY,
        CONSTRAINT mfa_amr_claims_session_id_authentication_method_pkey UNIQUE (session_id, authentication_method)
    );
    COMMENT ON TABLE auth.mfa_amr_claims IS
        'auth: stores authenticator method reference claims for multi factor authentication'
$$);
SELECT ferrobase.ensure_auth('relation', 'one_time_tokens', $$
    CREATE TABLE auth.one_time_tokens (
        id uuid NOT NULL CONSTRAINT one_time_tokens_pkey PRIMARY KEY,
        user_id uuid NOT NULL
            CONSTRAINT one_time_tokens_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        token_type auth.one_time_token_type NOT NULL,
        token_hash text NOT NULL
            CONSTRAINT one_time_tokens_token_hash_check CHECK (char_length(token_hash) > 0),
        relates_to text NOT NULL,
        created_at timestamp NOT NULL DEFAULT now(),
        updated_at timestamp NOT NULL DEFAULT now()
    );
    CREATE INDEX one_time_tokens_relates_to_hash_idx ON auth.one_time_tokens USING hash (relates_to);
    CREATE INDEX one_time_tokens_token_hash_hash_idx ON auth.one_time_tokens USING hash (token_hash);
    CREATE UNIQUE INDEX one_time_tokens_user_id_token_type_key ON auth.one_time_tokens (user_id, token_type)
$$);
SELECT ferrobase.ensure_auth('relation', 'flow_state', $$
    CREATE TABLE auth.flow_state (
        id uuid NOT NULL CONSTRAINT flow_state_pkey PRIMARY KEY,
        user_id uuid,
        auth_code text,
        code_challenge_method auth.code_challenge_method,
        code_challenge text,
        provider_type text NOT NULL,
        provider_access_token text,
        provider_refresh_token text,
        created_at timestamptz,
        updated_at timestamptz,
        authentication_method text NOT NULL,
        auth_code_issued_at timestamptz,
        invite_token text,
        referrer text,
        oauth_client_state_id uuid,
        linking_target_id uuid,
        email_optional boolean NOT NULL DEFAULT false
    );
    CREATE INDEX flow_state_created_at_idx ON auth.flow_state (created_at DESC);
    CREATE INDEX idx_auth_code ON auth.flow_state (auth_code);
    CREATE INDEX idx_user_id_auth_method ON auth.flow_state (user_id, authentication_method);
    COMMENT ON TABLE auth.flow_state IS 'Stores metadata for all OAuth/SSO login flows'
$$);

-- Second factors and passkeys.
SELECT ferrobase.ensure_auth('relation', 'mfa_factors', $$
    CREATE TABLE auth.mfa_factors (
        id uuid NOT NULL CONSTRAINT mfa_factors_pkey PRIMARY KEY,
        user_id uuid NOT NULL
            CONSTRAINT mfa_factors_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        friendly_name text,
        factor_type auth.factor_type NOT NULL,
        status auth.factor_status NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        secret text,
        phone text,
        last_challenged_at timestamptz CONSTRAINT mfa_factors_last_challenged_at_key UNIQUE,
        web_authn_credential jsonb,
        web_authn_aaguid uuid,
        last_webauthn_challenge_data jsonb
    );
    CREATE INDEX factor_id_created_at_idx ON auth.mfa_factors (user_id, created_at);
    CREATE INDEX mfa_factors_user_id_idx ON auth.mfa_factors (user_id);
    CREATE UNIQUE INDEX mfa_factors_user_friendly_name_unique ON auth.mfa_factors (friendly_name, user_id)
        WHERE trim(BOTH FROM friendly_name) <> '';
    CREATE UNIQUE INDEX unique_phone_factor_per_user ON auth.mfa_factors (user_id, phone);
    COMMENT ON TABLE auth.mfa_factors IS 'auth: stores metadata about factors';
    COMMENT ON COLUMN auth.mfa_factors.last_webauthn_challenge_data IS
        'Stores the latest WebAuthn challenge data including attestation/assertion for customer verification'
$$);
SELECT ferrobase.ensure_auth('relation', 'mfa_challenges', $$
    CREATE TABLE auth.mfa_challenges (
        id uuid NOT NULL CONSTRAINT mfa_challenges_pkey PRIMARY KEY,
        factor_id uuid NOT NULL
            CONSTRAINT mfa_challenges_auth_factor_id_fkey REFERENCES auth.mfa_factors (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL,
        verified_at timestamptz,
        ip_address inet NOT NULL,
        otp_code text,
        web_authn_session_data jsonb
    );
    CREATE INDEX mfa_challenge_created_at_idx ON auth.mfa_challenges (created_at DESC);
    COMMENT ON TABLE auth.mfa_challenges IS 'auth: stores metadata about challenge requests made'
$$);
SELECT ferrobase.ensure_auth('relation', 'webauthn_credentials', $$
    CREATE TABLE auth.webauthn_credentials (
        id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT webauthn_credentials_pkey PRIMARY KEY,
        user_id uuid NOT NULL
            CONSTRAINT webauthn_credentials_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        credential_id bytea NOT NULL,
        public_key bytea NOT NULL,
        attestation_type text NOT NULL DEFAULT '',
        aaguid uuid,
        sign_count bigint NOT NULL DEFAULT 0,
        transports jsonb NOT NULL DEFAULT '[]',
        backup_eligible boolean NOT NULL DEFAULT false,
        backed_up boolean NOT NULL DEFAULT false,
        friendly_name text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz
    );
    CREATE UNIQUE INDEX webauthn_credentials_credential_id_key ON auth.webauthn_credentials (credential_id);
    CREATE INDEX webauthn_credentials_user_id_idx ON auth.webauthn_credentials (user_id)
$$);
SELECT ferrobase.ensure_auth('relation', 'webauthn_challenges', $$
    CREATE TABLE auth.webauthn_challenges (
        id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT webauthn_challenges_pkey PRIMARY KEY,
        user_id uuid
            CONSTRAINT webauthn_challenges_user_id_fkey REFERENCES auth.users (id) ON DELETE CASCADE,
        challenge_type text NOT NULL
            CONSTRAINT webauthn_challenges_challenge_type_check
            CHECK (challenge_type IN ('signup', 'registration', 'authentication')),
        session_data jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
    );
    CREATE INDEX webauthn_challenges_expires_at_idx ON auth.webauthn_challenges (expires_at);
    CREATE INDEX webauthn_challenges_user_id_idx ON auth.webauthn_challenges (user_id)
$$);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
SELECT ferrobase.attempt('extensions for postgres', 'postgres cannot install extensions that need a superuser',
    'GRANT EXECUTE ON FUNCTION ferrobase.install_extension(text, text) TO postgres');
