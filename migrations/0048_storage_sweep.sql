-- Why: bytes that no row names are found and removed, whatever left them: a
-- crash between bytes and row, an upload that was never ended. `named` is the
-- one place that says which bytes rows name; `expire` ends uploads that nobody
-- goes on with; `sweep` is where the last look ended, and whose bytes these are.
-- Lock impact: new objects only.

CREATE TABLE storage_engine.sweep (
    -- There is one row.
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    -- Written beside the bytes as well: a database never sweeps another's.
    books uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Every older name has been looked at.
    up_to text,
    at timestamptz
);
COMMENT ON TABLE storage_engine.sweep IS 'How far bytes have been held against rows.';
INSERT INTO storage_engine.sweep DEFAULT VALUES;
ALTER TABLE storage_engine.sweep ENABLE ROW LEVEL SECURITY;

-- Those of these versions that a row names. Resumable uploads have a table of
-- their own, which comes with them.
CREATE FUNCTION storage_engine.named(versions text[])
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before CONSTANT text := current_setting('storage_engine.caller', true);
BEGIN
    RETURN QUERY SELECT o.version FROM storage.objects AS o WHERE o.version = ANY (versions);
    RETURN QUERY SELECT u.version FROM storage.s3_multipart_uploads AS u WHERE u.version = ANY (versions);
    IF to_regclass('storage_engine.tus_uploads') IS NOT NULL THEN
        -- Resumable uploads show themselves to nobody else. Not by a SET of the
        -- function, which only superusers may write for a setting like this.
        PERFORM set_config('storage_engine.caller', 'sweeper', true);
        RETURN QUERY EXECUTE
            'SELECT blob::text FROM storage_engine.tus_uploads
             WHERE (finished_at IS NULL OR kind = ''partial'') AND blob::text = ANY ($1)' USING versions;
        PERFORM set_config('storage_engine.caller', coalesce(before, ''), true);
    END IF;
END;
$$;

-- Ends at most `most` uploads in parts that are older than `age`. Their bytes
-- get tombstones. Resumable uploads end by their own clock.
CREATE FUNCTION storage_engine.expire(age interval, most integer)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH old AS (
        SELECT u.id FROM storage.s3_multipart_uploads AS u
        WHERE u.created_at < now() - age
        ORDER BY u.created_at LIMIT most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM storage.s3_multipart_uploads AS u USING old WHERE u.id = old.id RETURNING u.version
    ), buried AS (
        INSERT INTO storage_engine.removed (version) SELECT version FROM gone ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

DO $do$
BEGIN
    REVOKE ALL ON FUNCTION storage_engine.named(text[]), storage_engine.expire(interval, integer) FROM PUBLIC;
    PERFORM ferrobase.attempt('sweeping storage', 'bytes of deleted objects stay until `ferrobase storage fsck`', $grants$
        GRANT ALL ON storage_engine.sweep TO supabase_storage_admin;
        GRANT EXECUTE ON FUNCTION storage_engine.named(text[]), storage_engine.expire(interval, integer) TO supabase_storage_admin
    $grants$);
    PERFORM ferrobase.hand_over('storage_engine', 'supabase_storage_admin');
END;
$do$;
