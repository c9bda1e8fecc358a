-- Why: migrations put policies on storage.objects and realtime.messages, insert
-- buckets, add tables to the publication and expose graphql_public. The objects
-- they touch must exist in their public shape; the storage, realtime and
-- GraphQL rooms bring the rest. What exists already is not touched.
-- Lock impact: creates new objects only; no existing relation is locked.

DO $$
BEGIN
    IF to_regclass('storage.buckets') IS NOT NULL OR to_regclass('storage.objects') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE TYPE storage.buckettype AS ENUM ('STANDARD', 'ANALYTICS', 'VECTOR');
    CREATE TABLE storage.buckets (
        id text NOT NULL CONSTRAINT buckets_pkey PRIMARY KEY,
        name text NOT NULL,
        owner uuid,
        created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(),
        public boolean DEFAULT false,
        avif_autodetection boolean DEFAULT false,
        file_size_limit bigint,
        allowed_mime_types text[],
        owner_id text,
        type storage.buckettype NOT NULL DEFAULT 'STANDARD'
    );
    COMMENT ON COLUMN storage.buckets.owner IS 'Field is deprecated, use owner_id instead';
    CREATE UNIQUE INDEX bname ON storage.buckets (name);
    ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;

    CREATE TABLE storage.objects (
        id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT objects_pkey PRIMARY KEY,
        bucket_id text CONSTRAINT "objects_bucketId_fkey" REFERENCES storage.buckets (id),
        name text,
        owner uuid,
        created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(),
        last_accessed_at timestamptz DEFAULT now(),
        metadata jsonb,
        path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED,
        version text,
        owner_id text,
        user_metadata jsonb
    );
    COMMENT ON COLUMN storage.objects.owner IS 'Field is deprecated, use owner_id instead';
    CREATE UNIQUE INDEX bucketid_objname ON storage.objects (bucket_id, name);
    CREATE INDEX name_prefix_search ON storage.objects (name text_pattern_ops);
    CREATE INDEX idx_objects_bucket_id_name ON storage.objects (bucket_id, name COLLATE "C");
    ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;

    -- The three that policies on storage.objects are written with: the folders
    -- of a path, its last part, and what follows that part's last dot.
    CREATE FUNCTION storage.foldername(name text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $body$
        SELECT trim_array(string_to_array($1, '/'), LEAST(cardinality(string_to_array($1, '/')), 1))
    $body$;
    CREATE FUNCTION storage.filename(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $body$
        SELECT (string_to_array($1, '/'))[cardinality(string_to_array($1, '/'))]
    $body$;
    CREATE FUNCTION storage.extension(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $body$
        SELECT reverse(split_part(reverse(storage.filename($1)), '.', 1))
    $body$;

    PERFORM ferrobase.attempt('storage tables for the API roles', 'the API roles cannot use storage',
        'GRANT ALL ON storage.buckets, storage.objects TO postgres, anon, authenticated, service_role');
    PERFORM ferrobase.hand_over('storage', 'supabase_storage_admin');
    IF current_setting('is_superuser') = 'on' THEN
        ALTER TYPE storage.buckettype OWNER TO supabase_storage_admin;
    END IF;
END;
$$;

DO $$
BEGIN
    IF to_regclass('realtime.messages') IS NOT NULL THEN
        RETURN;
    END IF;

    -- Rows of private channels are never kept by writing here directly: the
    -- table exists so that policies on it decide who may join a topic.
    CREATE TABLE realtime.messages (
        topic text NOT NULL,
        extension text NOT NULL,
        payload jsonb,
        event text,
        private boolean DEFAULT false,
        updated_at timestamp NOT NULL DEFAULT now(),
        inserted_at timestamp NOT NULL DEFAULT now(),
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        CONSTRAINT messages_pkey PRIMARY KEY (id, inserted_at)
    ) PARTITION BY RANGE (inserted_at);
    ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;

    CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql STABLE AS $body$
        SELECT nullif(current_setting('realtime.topic', true), '')
    $body$;

    PERFORM ferrobase.attempt('realtime.messages for the API roles', 'private channels are closed to the API roles', $grants$
        GRANT SELECT, INSERT, UPDATE ON realtime.messages TO anon, authenticated, service_role;
        GRANT ALL ON realtime.messages TO postgres, dashboard_user
    $grants$);
    PERFORM ferrobase.hand_over('realtime', 'supabase_realtime_admin');
END;
$$;

-- What graphql_public answers while no GraphQL engine is there to ask.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_proc
        WHERE pronamespace = to_regnamespace('graphql_public') AND proname = 'graphql'
    ) THEN
        RETURN;
    END IF;
    CREATE FUNCTION graphql_public.graphql(
        "operationName" text DEFAULT NULL,
        query text DEFAULT NULL,
        variables jsonb DEFAULT NULL,
        extensions jsonb DEFAULT NULL
    ) RETURNS jsonb LANGUAGE sql STABLE AS $body$
        SELECT jsonb_build_object('errors', jsonb_build_array(
            jsonb_build_object('message', 'pg_graphql extension is not enabled.')
        ))
    $body$;
    PERFORM ferrobase.attempt('graphql for the API roles', 'the API roles cannot call graphql_public.graphql()', $grants$
        GRANT EXECUTE ON FUNCTION graphql_public.graphql(text, text, jsonb, jsonb)
            TO postgres, anon, authenticated, service_role
    $grants$);
END;
$$;

-- Empty by default; migrations add tables, so `postgres` must own it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'supabase_realtime') THEN
        RETURN;
    END IF;
    IF ferrobase.attempt('publication supabase_realtime', 'row changes are not published to Realtime',
                         'CREATE PUBLICATION supabase_realtime')
       AND current_setting('is_superuser') = 'on'
       AND EXISTS (
           SELECT FROM pg_catalog.pg_roles AS r
           WHERE r.rolname = 'postgres'
             AND (r.rolsuper OR has_database_privilege(r.oid, current_database(), 'CREATE'))
       )
    THEN
        ALTER PUBLICATION supabase_realtime OWNER TO postgres;
    END IF;
END;
$$;

SELECT ferrobase.attempt('row changes', 'Realtime does not see row changes; set wal_level = logical and restart PostgreSQL', $$
    DO $check$
    BEGIN
        IF current_setting('wal_level') <> 'logical' THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = format('wal_level is %s', current_setting('wal_level'));
        END IF;
    END;
    $check$
$$);
