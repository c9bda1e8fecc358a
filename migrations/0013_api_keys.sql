-- Why: a project needs more keys than the two pairs: one for each partner,
-- script or user, which may do less, ends, can be replaced while both work, and
-- can be taken away. A key is 256 random bits, kept as its SHA-256 alone, so
-- that who reads these tables (or a dump of them) can call nothing. Two tables:
-- what a key means, and its secrets, of which a rotation leaves two for a while.
-- Users reach neither; what they may do with keys of their own are the functions
-- of schema `ferrobase_keys`, which a project exposes or wraps.
-- Lock impact: creates new objects; the foreign key on auth.users takes a SHARE
-- ROW EXCLUSIVE lock there for a moment.

CREATE TABLE IF NOT EXISTS ferrobase.api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    role text NOT NULL,
    sub uuid,
    claims jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(claims) = 'object' AND length(claims::text) <= 4096),
    scopes text[] NOT NULL,
    read_only boolean NOT NULL DEFAULT false,
    per_minute integer CHECK (per_minute BETWEEN 1 AND 1000000),
    owner uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON TABLE ferrobase.api_keys IS 'API keys: whom they stand for and what they may do. Without secrets.';
COMMENT ON COLUMN ferrobase.api_keys.owner IS 'The user whose own key it is; null for those of the project.';
CREATE UNIQUE INDEX IF NOT EXISTS api_keys_name ON ferrobase.api_keys (name) WHERE owner IS NULL AND revoked_at IS NULL;
CREATE INDEX IF NOT EXISTS api_keys_owner ON ferrobase.api_keys (owner) WHERE owner IS NOT NULL;

CREATE TABLE IF NOT EXISTS ferrobase.api_key_secrets (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    key_id uuid NOT NULL REFERENCES ferrobase.api_keys (id) ON DELETE CASCADE,
    prefix text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE ferrobase.api_key_secrets IS 'SHA-256 of the secrets of API keys. A rotation ends the old one after its overlap.';
CREATE INDEX IF NOT EXISTS api_key_secrets_key ON ferrobase.api_key_secrets (key_id);

ALTER TABLE ferrobase.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE ferrobase.api_key_secrets ENABLE ROW LEVEL SECURITY;

-- A key goes with its user. Another system's tables may be without ours.
SELECT ferrobase.attempt('API keys end with their user', 'keys of a deleted user go on working until they expire',
    'ALTER TABLE ferrobase.api_keys ADD CONSTRAINT api_keys_owner_fkey
         FOREIGN KEY (owner) REFERENCES auth.users (id) ON DELETE CASCADE')
WHERE to_regclass('auth.users') IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_constraint AS c
      WHERE c.conrelid = 'ferrobase.api_keys'::regclass AND c.conname = 'api_keys_owner_fkey'
  );

-- Every node hears of a change. Writing down when a key was used is none.
CREATE OR REPLACE FUNCTION ferrobase.api_keys_changed()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('ferrobase_keys', '');
    RETURN NULL;
END;
$$;
DROP TRIGGER IF EXISTS api_keys_changed ON ferrobase.api_keys;
CREATE TRIGGER api_keys_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ferrobase.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ferrobase.api_keys_changed();
DROP TRIGGER IF EXISTS api_keys_changed ON ferrobase.api_key_secrets;
CREATE TRIGGER api_keys_changed
    AFTER INSERT OR UPDATE OF hash, key_id, prefix, expires_at OR DELETE OR TRUNCATE ON ferrobase.api_key_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION ferrobase.api_keys_changed();

-- A new secret of a key; the only moment at which it is readable. Three random
-- UUIDs have 366 random bits, of which the hash keeps 256.
CREATE OR REPLACE FUNCTION ferrobase.api_key_secret(key_id uuid, OUT prefix text, OUT secret text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    prefix := 'fbk_' || encode(substr(uuid_send(gen_random_uuid()), 1, 4), 'hex');
    secret := prefix || '_' || encode(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
    INSERT INTO ferrobase.api_key_secrets (hash, key_id, prefix)
    VALUES (sha256(convert_to(secret, 'UTF8')), key_id, prefix);
END;
$$;

-- A new key. What cannot work is refused here and not at its first request.
CREATE OR REPLACE FUNCTION ferrobase.api_key_create(
    name text, role text, sub uuid, claims jsonb, scopes text[], read_only boolean,
    per_minute integer, expires_in interval, owner uuid,
    OUT id uuid, OUT prefix text, OUT secret text, OUT expires_at timestamptz
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
    bad text;
BEGIN
    SELECT r.rolsuper INTO known FROM pg_roles AS r WHERE r.rolname = api_key_create.role;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = '22023';
    ELSIF known.rolsuper THEN
        RAISE EXCEPTION 'role "%" is a superuser', role USING ERRCODE = '22023';
    ELSIF to_regrole('authenticator') IS NOT NULL AND NOT pg_has_role('authenticator', role, 'MEMBER') THEN
        RAISE EXCEPTION 'role "%" is not granted to authenticator', role USING ERRCODE = '22023';
    ELSIF role = 'authenticated' AND sub IS NULL THEN
        RAISE EXCEPTION 'a key for role authenticated needs the user it stands for' USING ERRCODE = '22023';
    END IF;
    SELECT s INTO bad FROM unnest(scopes) AS s WHERE s IS NULL OR s !~ '^(\*|[a-z0-9][a-z0-9_.-]{0,62})(:[a-z0-9_.-]{1,63})?$' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'scope "%" is not valid', bad USING ERRCODE = '22023',
            HINT = 'A scope is the name of a room or a word of your own, such as rest, storage:read or reports.';
    ELSIF cardinality(scopes) NOT BETWEEN 1 AND 32 THEN
        RAISE EXCEPTION 'a key has 1 to 32 scopes' USING ERRCODE = '22023';
    END IF;
    SELECT c INTO bad FROM jsonb_object_keys(claims) AS c WHERE c IN ('role', 'sub', 'scopes', 'api_key') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim "%" is set by the key itself', bad USING ERRCODE = '22023';
    ELSIF expires_in <= interval '0' THEN
        RAISE EXCEPTION 'a key cannot end before it begins' USING ERRCODE = '22023';
    END IF;
    INSERT INTO ferrobase.api_keys AS k (name, role, sub, claims, scopes, read_only, per_minute, owner, expires_at)
    VALUES (api_key_create.name, api_key_create.role, api_key_create.sub, api_key_create.claims, api_key_create.scopes,
            api_key_create.read_only, api_key_create.per_minute, api_key_create.owner, now() + expires_in)
    RETURNING k.id, k.expires_at INTO id, expires_at;
    SELECT s.prefix, s.secret INTO prefix, secret FROM ferrobase.api_key_secret(id) AS s;
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'there is a key named "%" already', name USING ERRCODE = '22023';
    WHEN check_violation THEN
        RAISE EXCEPTION '%', sqlerrm USING ERRCODE = '22023';
END;
$$;

-- Another secret; those before it end after the overlap, if not earlier.
CREATE OR REPLACE FUNCTION ferrobase.api_key_rotate(id uuid, overlap interval, OUT prefix text, OUT secret text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF overlap < interval '0' OR overlap > interval '366 days' THEN
        RAISE EXCEPTION 'an overlap lasts from nothing to a year' USING ERRCODE = '22023';
    END IF;
    -- One rotation at a time, or both new secrets would be without an end.
    PERFORM FROM ferrobase.api_keys AS k WHERE k.id = api_key_rotate.id FOR UPDATE;
    DELETE FROM ferrobase.api_key_secrets AS s WHERE s.key_id = api_key_rotate.id AND s.expires_at <= now();
    UPDATE ferrobase.api_key_secrets AS s SET expires_at = least(s.expires_at, now() + overlap)
    WHERE s.key_id = api_key_rotate.id;
    SELECT s.prefix, s.secret INTO prefix, secret FROM ferrobase.api_key_secret(id) AS s;
END;
$$;

REVOKE ALL ON FUNCTION ferrobase.api_keys_changed(), ferrobase.api_key_secret(uuid),
    ferrobase.api_key_create(text, text, uuid, jsonb, text[], boolean, integer, interval, uuid),
    ferrobase.api_key_rotate(uuid, interval) FROM PUBLIC;

-- Users' own keys: they stand for the user, so they open nothing that the user
-- could not reach; the rooms of sign-in and administration are not for them.
CREATE SCHEMA IF NOT EXISTS ferrobase_keys;
COMMENT ON SCHEMA ferrobase_keys IS 'Ferrobase: what users do with API keys of their own. Expose it, or wrap its functions.';
REVOKE ALL ON SCHEMA ferrobase_keys FROM PUBLIC;

-- The signed-in user; nobody else makes keys, and no key makes another.
CREATE OR REPLACE FUNCTION ferrobase_keys.caller()
RETURNS uuid
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
BEGIN
    IF claims IS NULL OR claims ->> 'sub' IS NULL OR claims ->> 'role' IS DISTINCT FROM 'authenticated'
        OR claims ? 'api_key' OR claims ->> 'is_anonymous' = 'true'
    THEN
        RAISE EXCEPTION 'only a user who has signed in manages keys' USING ERRCODE = '42501';
    END IF;
    RETURN (claims ->> 'sub')::uuid;
END;
$$;

CREATE OR REPLACE FUNCTION ferrobase_keys.create_key(
    name text, scopes text[] DEFAULT '{rest}', read_only boolean DEFAULT false,
    expires_in interval DEFAULT '90 days'
)
RETURNS TABLE (id uuid, prefix text, secret text, expires_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me uuid := ferrobase_keys.caller();
BEGIN
    -- Counting and making are one, also for a user who asks twice at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('ferrobase_keys ' || me::text, 0));
    IF (SELECT count(*) FROM ferrobase.api_keys AS k
        WHERE k.owner = me AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) >= 10
    THEN
        RAISE EXCEPTION 'you have ten keys already' USING ERRCODE = '54000', HINT = 'Revoke one first.';
    ELSIF create_key.scopes && ARRAY['auth', 'auth:read', 'auth-admin', 'auth-admin:read'] THEN
        RAISE EXCEPTION 'a key of yours cannot reach accounts' USING ERRCODE = '42501';
    ELSIF expires_in IS NULL OR expires_in > interval '366 days' THEN
        RAISE EXCEPTION 'a key of yours ends within a year' USING ERRCODE = '22023';
    END IF;
    RETURN QUERY SELECT c.id, c.prefix, c.secret, c.expires_at
        FROM ferrobase.api_key_create(create_key.name, 'authenticated', me, '{}', create_key.scopes,
            create_key.read_only, NULL, expires_in, me) AS c;
END;
$$;

CREATE OR REPLACE FUNCTION ferrobase_keys.my_keys()
RETURNS TABLE (
    id uuid, name text, prefix text, scopes text[], read_only boolean,
    created_at timestamptz, expires_at timestamptz, last_used_at timestamptz
)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.id, k.name, s.prefix, k.scopes, k.read_only, s.created_at, least(s.expires_at, k.expires_at), s.last_used_at
    FROM ferrobase.api_keys AS k JOIN ferrobase.api_key_secrets AS s ON s.key_id = k.id
    WHERE k.owner = ferrobase_keys.caller() AND k.revoked_at IS NULL
    ORDER BY k.created_at, s.created_at;
$$;

CREATE OR REPLACE FUNCTION ferrobase_keys.rotate_key(id uuid, overlap interval DEFAULT '1 day')
RETURNS TABLE (prefix text, secret text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM ferrobase.api_keys AS k
    WHERE k.id = rotate_key.id AND k.owner = ferrobase_keys.caller() AND k.revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'you have no such key' USING ERRCODE = 'P0002';
    END IF;
    RETURN QUERY SELECT r.prefix, r.secret FROM ferrobase.api_key_rotate(rotate_key.id, overlap) AS r;
END;
$$;

CREATE OR REPLACE FUNCTION ferrobase_keys.revoke_key(id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE ferrobase.api_keys AS k SET revoked_at = now()
    WHERE k.id = revoke_key.id AND k.owner = ferrobase_keys.caller() AND k.revoked_at IS NULL;
    RETURN FOUND;
END;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase_keys FROM PUBLIC;

-- One statement for each right, since a managed database may refuse any.
DO $$
DECLARE
    item record;
BEGIN
    -- Role postgres owns a project's functions, which wrap these.
    FOR item IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('authenticated', 'postgres') LOOP
        PERFORM ferrobase.attempt(format('API keys of users: schema for %s', item.rolname), 'users cannot make keys of their own',
            format('GRANT USAGE ON SCHEMA ferrobase_keys TO %I', item.rolname));
        PERFORM ferrobase.attempt(format('API keys of users: functions for %s', item.rolname), 'users cannot make keys of their own',
            format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ferrobase_keys TO %I', item.rolname));
    END LOOP;
    IF to_regrole('supabase_auth_admin') IS NULL THEN
        RETURN;
    END IF;
    PERFORM ferrobase.attempt('API keys for the gateway: schema', 'API keys are not accepted',
        'GRANT USAGE ON SCHEMA ferrobase TO supabase_auth_admin');
    PERFORM ferrobase.attempt('API keys for the gateway: tables', 'API keys are not accepted',
        'GRANT SELECT ON ferrobase.api_keys, ferrobase.api_key_secrets TO supabase_auth_admin');
    PERFORM ferrobase.attempt('API keys for the gateway: last use', 'when a key was last used is not known',
        'GRANT UPDATE (last_used_at) ON ferrobase.api_key_secrets TO supabase_auth_admin');
    DROP POLICY IF EXISTS gateway ON ferrobase.api_keys;
    CREATE POLICY gateway ON ferrobase.api_keys FOR SELECT TO supabase_auth_admin USING (true);
    DROP POLICY IF EXISTS gateway ON ferrobase.api_key_secrets;
    CREATE POLICY gateway ON ferrobase.api_key_secrets TO supabase_auth_admin USING (true) WITH CHECK (true);
END;
$$;
