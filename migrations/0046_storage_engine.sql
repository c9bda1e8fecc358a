-- Why: rows and bytes must not disagree. Whatever takes the last name of some
-- bytes away (a deletion, an overwrite, a script) leaves a tombstone in the same
-- transaction; the bytes go afterwards, and then the tombstone. Triggers do it,
-- so that no way of changing rows can forget it. `admit` holds an upload against
-- the limits of its bucket, which callers may not be able to see.
-- Lock impact: triggers on storage.objects.

CREATE TABLE storage_engine.removed (
    version text PRIMARY KEY,
    removed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE storage_engine.removed IS 'Bytes that no row names any more; they go soon after.';
CREATE TABLE storage_engine.written (
    version text PRIMARY KEY,
    size bigint NOT NULL,
    sums bytea NOT NULL
);
COMMENT ON TABLE storage_engine.written IS 'What was written: what the bytes of a version must be.';
ALTER TABLE storage_engine.removed ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage_engine.written ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION storage_engine.bury()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO storage_engine.removed (version)
    SELECT DISTINCT gone.version FROM gone WHERE gone.version IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

-- A row takes a version. What its bytes are is said by whoever wrote them, for
-- that version and that transaction: `version size sums`.
CREATE FUNCTION storage_engine.take()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said constant text[] := string_to_array(current_setting('storage_engine.written', true), ' ');
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.version IS NOT NULL THEN
        INSERT INTO storage_engine.removed (version) VALUES (OLD.version) ON CONFLICT DO NOTHING;
    END IF;
    IF said[1] = NEW.version THEN
        INSERT INTO storage_engine.written (version, size, sums)
        VALUES (NEW.version, said[2]::bigint, decode(said[3], 'hex'))
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

-- Refusals have codes of their own: FS404, FS413 and FS415.
CREATE FUNCTION storage_engine.admit(bucket text, bytes bigint, mime text, most bigint)
RETURNS TABLE (public boolean, file_size_limit bigint, allowed_mime_types text[])
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
BEGIN
    SELECT b.public, b.file_size_limit, b.allowed_mime_types INTO held FROM storage.buckets AS b WHERE b.id = bucket;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'FS404', MESSAGE = 'there is no such bucket';
    END IF;
    IF bytes > least(held.file_size_limit, most) THEN
        RAISE EXCEPTION USING ERRCODE = 'FS413', MESSAGE = 'larger than the bucket takes';
    END IF;
    -- `image/*` allows every kind of image. Without a mime type nothing is asked.
    IF cardinality(held.allowed_mime_types) > 0 AND mime IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM unnest(held.allowed_mime_types) AS allowed
        WHERE split_part(allowed, '/', 1) = split_part(mime, '/', 1)
          AND split_part(allowed, '/', 2) IN ('*', split_part(mime, '/', 2))
          AND mime LIKE '%/%'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'FS415', MESSAGE = 'not a kind that the bucket takes', DETAIL = mime;
    END IF;
    RETURN QUERY SELECT held.public, held.file_size_limit, held.allowed_mime_types;
END;
$$;

DO $do$
BEGIN
    PERFORM ferrobase.attempt('tombstones of files', 'bytes of deleted objects stay until `ferrobase storage fsck`', $triggers$
        CREATE TRIGGER ferrobase_bury AFTER DELETE ON storage.objects
            REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION storage_engine.bury();
        CREATE TRIGGER ferrobase_take AFTER INSERT ON storage.objects
            FOR EACH ROW WHEN (NEW.version IS NOT NULL) EXECUTE FUNCTION storage_engine.take();
        CREATE TRIGGER ferrobase_retake AFTER UPDATE OF version ON storage.objects
            FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION storage_engine.take()
    $triggers$);
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA storage_engine FROM PUBLIC;
    -- Whatever role a token names: uploads ask it as their caller.
    GRANT USAGE ON SCHEMA storage_engine TO PUBLIC;
    GRANT EXECUTE ON FUNCTION storage_engine.admit(text, bigint, text, bigint) TO PUBLIC;
    PERFORM ferrobase.attempt('the storage room''s books', 'storage is switched off', $grants$
        GRANT ALL ON storage_engine.removed, storage_engine.written TO supabase_storage_admin
    $grants$);
    PERFORM ferrobase.hand_over('storage_engine', 'supabase_storage_admin');
    PERFORM ferrobase.attempt('membership in supabase_storage_admin', 'storage is switched off',
        format('GRANT supabase_storage_admin TO %I', current_user));
END;
$do$;
