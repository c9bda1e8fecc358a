-- Why: the S3 protocol. Access keys are rows; their secrets are nowhere, since
-- they are made of the project's secret when they are needed. Sums of parts are
-- kept beside the official tables, so that an object made of parts need not be
-- read again to be known.
-- Lock impact: creates tables only.

CREATE TABLE storage_engine.s3_keys (
    access_key text PRIMARY KEY CHECK (length(access_key) BETWEEN 16 AND 128),
    role text NOT NULL,
    claims jsonb,
    reads boolean NOT NULL DEFAULT false,
    description text CHECK (length(description) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
COMMENT ON TABLE storage_engine.s3_keys IS 'Access keys of the S3 protocol and what they act as.';
COMMENT ON COLUMN storage_engine.s3_keys.reads IS 'Whether it may only read.';
ALTER TABLE storage_engine.s3_keys ENABLE ROW LEVEL SECURITY;

CREATE TABLE storage_engine.s3_parts (
    part uuid PRIMARY KEY,
    sums bytea NOT NULL
);
COMMENT ON TABLE storage_engine.s3_parts IS 'What the bytes of a part must be.';
ALTER TABLE storage_engine.s3_parts ENABLE ROW LEVEL SECURITY;

DO $do$
BEGIN
    -- Another storage server's schema may be older than uploads in parts.
    IF to_regclass('storage.s3_multipart_uploads_parts') IS NULL THEN
        PERFORM ferrobase.hand_over('storage_engine', 'supabase_storage_admin');
        RETURN;
    END IF;
    ALTER TABLE storage_engine.s3_parts ADD CONSTRAINT s3_parts_part_fkey
        FOREIGN KEY (part) REFERENCES storage.s3_multipart_uploads_parts (id) ON DELETE CASCADE;
    PERFORM ferrobase.attempt('the storage room''s S3 books', 'the S3 protocol is switched off', $grants$
        GRANT ALL ON storage_engine.s3_keys, storage_engine.s3_parts,
            storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO supabase_storage_admin
    $grants$);
    PERFORM ferrobase.hand_over('storage_engine', 'supabase_storage_admin');
END;
$do$;
