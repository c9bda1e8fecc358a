-- Why: uploads that go on after a broken connection, a dead server or at another
-- node. How far one is, and whose it is, is a row; its bytes are beside the
-- other files. A row counts bytes only after they are durable.
-- Lock impact: a new table; nothing that exists is touched.

CREATE TABLE storage_engine.tus_uploads (
    -- The last piece of its address, which nobody can guess.
    id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{32}$'),
    blob uuid NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('whole', 'partial', 'final')),
    -- Role and subject, or the object that a signature is for, as JSON.
    begun_by text NOT NULL,
    bucket_id text NOT NULL,
    name text NOT NULL,
    concat text,
    metadata text NOT NULL,
    upsert boolean NOT NULL,
    owner_id text,
    "offset" bigint NOT NULL DEFAULT 0 CHECK ("offset" BETWEEN 0 AND coalesce(length, most)),
    length bigint CHECK (length BETWEEN 0 AND most),
    most bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    finished_at timestamptz,
    -- Who writes to it, until when unless it says so again, and whether another
    -- request waits for that to end.
    holder uuid,
    held_until timestamptz,
    wanted boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE storage_engine.tus_uploads IS 'Resumable uploads; those that are not finished, and parts, keep their bytes.';
CREATE INDEX tus_uploads_expiry ON storage_engine.tus_uploads (expires_at);

-- Nobody but who began an upload, and the duty that removes what is too old.
ALTER TABLE storage_engine.tus_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage_engine.tus_uploads FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON storage_engine.tus_uploads
    USING (begun_by = current_setting('storage_engine.caller', true)
        OR current_setting('storage_engine.caller', true) = 'sweeper');

-- Whether an object has these bytes: then an upload is over, whatever its row
-- says; a server may have died between the two.
CREATE FUNCTION storage_engine.landed(blob uuid)
RETURNS boolean
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM storage.objects AS o WHERE o.version = blob::text);

DO $do$
BEGIN
    REVOKE ALL ON FUNCTION storage_engine.landed(uuid) FROM PUBLIC;
    PERFORM ferrobase.attempt('resumable uploads', 'resumable uploads are switched off', $grants$
        GRANT SELECT, INSERT, UPDATE, DELETE ON storage_engine.tus_uploads TO supabase_storage_admin;
        GRANT EXECUTE ON FUNCTION storage_engine.landed(uuid) TO supabase_storage_admin
    $grants$);
END;
$do$;
