-- Why: the storage room. 0005 made buckets and objects in their public shape;
-- this brings the rest of what clients, policies and tools count on in schema
-- `storage`: columns of versioning, uploads in parts, the triggers that guard
-- rows, and the grants. Tables for Iceberg and vector buckets are not here,
-- since nothing serves them. Where another storage server has been at work
-- already (its tables are there), its schema is left as it is.
-- Lock impact: ALTER TABLE on storage.buckets and storage.objects, with
-- constant defaults, which rewrites nothing; two indexes on storage.objects.

DO $$
BEGIN
    IF to_regnamespace('storage_engine') IS NOT NULL THEN
        RAISE EXCEPTION 'the database has a schema "storage_engine" that is not Ferrobase''s'
            USING HINT = 'The storage room keeps its books there. Rename yours before you start Ferrobase on this database.';
    END IF;
END;
$$;
CREATE SCHEMA storage_engine;
COMMENT ON SCHEMA storage_engine IS 'The storage room''s own books: which bytes were written, and which may go.';

CREATE TABLE storage_engine.origin (
    ours boolean NOT NULL
);
COMMENT ON TABLE storage_engine.origin IS 'One row: whether schema storage was made by these migrations.';
ALTER TABLE storage_engine.origin ENABLE ROW LEVEL SECURITY;
INSERT INTO storage_engine.origin SELECT to_regclass('storage.migrations') IS NULL;

CREATE FUNCTION ferrobase.storage_is_ours()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT ours FROM storage_engine.origin $$;
REVOKE ALL ON FUNCTION ferrobase.storage_is_ours() FROM PUBLIC;

DO $$
BEGIN
    IF NOT ferrobase.storage_is_ours() THEN
        RETURN;
    END IF;

    ALTER TABLE storage.buckets
        ADD COLUMN IF NOT EXISTS versioning_status text NOT NULL DEFAULT 'DISABLED',
        ADD CONSTRAINT buckets_versioning_status_check
            CHECK (versioning_status IN ('DISABLED', 'ENABLED', 'SUSPENDED')),
        ADD CONSTRAINT buckets_versioning_standard_only_check
            CHECK (type = 'STANDARD' OR versioning_status = 'DISABLED'),
        -- Nothing keeps old versions yet.
        ADD CONSTRAINT buckets_versioning_dark_check CHECK (versioning_status = 'DISABLED');

    ALTER TABLE storage.objects
        ADD COLUMN IF NOT EXISTS archived_at timestamptz,
        ADD COLUMN IF NOT EXISTS is_delete_marker boolean NOT NULL DEFAULT false,
        ADD COLUMN IF NOT EXISTS is_versioned boolean NOT NULL DEFAULT false;
    CREATE INDEX IF NOT EXISTS idx_objects_bucket_id_name_lower
        ON storage.objects (bucket_id, lower(name) COLLATE "C");
    -- Ours: is any row left that names these bytes?
    CREATE INDEX IF NOT EXISTS ferrobase_objects_version ON storage.objects (version);

    CREATE TABLE IF NOT EXISTS storage.s3_multipart_uploads (
        id text PRIMARY KEY,
        in_progress_size bigint NOT NULL DEFAULT 0,
        upload_signature text NOT NULL,
        bucket_id text NOT NULL
            CONSTRAINT s3_multipart_uploads_bucket_id_fkey REFERENCES storage.buckets (id),
        key text COLLATE "C" NOT NULL,
        version text NOT NULL,
        owner_id text,
        created_at timestamptz NOT NULL DEFAULT now(),
        user_metadata jsonb,
        metadata jsonb
    );
    CREATE INDEX IF NOT EXISTS idx_multipart_uploads_list
        ON storage.s3_multipart_uploads (bucket_id, key, created_at);
    CREATE TABLE IF NOT EXISTS storage.s3_multipart_uploads_parts (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        upload_id text NOT NULL
            CONSTRAINT s3_multipart_uploads_parts_upload_id_fkey
            REFERENCES storage.s3_multipart_uploads (id) ON DELETE CASCADE,
        size bigint NOT NULL DEFAULT 0,
        part_number integer NOT NULL,
        bucket_id text NOT NULL
            CONSTRAINT s3_multipart_uploads_parts_bucket_id_fkey REFERENCES storage.buckets (id),
        key text COLLATE "C" NOT NULL,
        etag text NOT NULL,
        owner_id text,
        version text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    );
    -- Which level of the official schema this is, for tools that ask.
    CREATE TABLE IF NOT EXISTS storage.migrations (
        id integer PRIMARY KEY,
        name varchar(100) NOT NULL UNIQUE,
        hash varchar(40) NOT NULL,
        executed_at timestamp DEFAULT current_timestamp
    );

    ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
    ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;
    ALTER TABLE storage.migrations ENABLE ROW LEVEL SECURITY;

    PERFORM ferrobase.attempt('storage uploads for the API roles', 'the API roles cannot see uploads in parts', $grants$
        GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO postgres, service_role;
        GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO anon, authenticated;
        GRANT SELECT ON storage.migrations TO postgres, anon, authenticated, service_role
    $grants$);
    -- Policies and triggers of projects are made by `postgres`.
    PERFORM ferrobase.attempt('storage tables for postgres', 'migrations cannot grant on storage tables',
        'GRANT ALL ON storage.buckets, storage.objects TO postgres WITH GRANT OPTION');
END;
$$;
