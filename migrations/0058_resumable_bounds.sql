-- Why: whoever may upload could begin any number of resumable uploads and leave
-- them: each is a row, a file and the right to its bytes for a day. What an
-- owner has open is counted before another one begins.
-- Lock impact: a new index on storage_engine.tus_uploads, which is small;
-- writing to it waits while it is built.

-- Whose an upload is counted as: of its owner, whatever signatures they gave
-- out; else of who began it.
CREATE INDEX tus_uploads_owner ON storage_engine.tus_uploads ((coalesce(owner_id, begun_by)))
    WHERE finished_at IS NULL OR kind = 'partial';

-- Whether an owner may begin one of so many bytes: 'count' or 'bytes' says what
-- there would be too much of, null nothing. Who begins at the same time waits
-- for the commit. Parts count until they are gone: their bytes are nobody's
-- object.
CREATE FUNCTION storage_engine.tus_refusal(
    whose text, wanted numeric, count_max bigint, bytes_max numeric
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before CONSTANT text := current_setting('storage_engine.caller', true);
    uploads bigint;
    bytes numeric;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('storage_engine.tus_uploads ' || whose, 0));
    -- Resumable uploads show themselves to nobody else. Not by a SET of the
    -- function, which only superusers may write for a setting like this.
    PERFORM set_config('storage_engine.caller', 'sweeper', true);
    SELECT count(*), coalesce(sum(coalesce(u.length, u.most)), 0) INTO uploads, bytes
    FROM storage_engine.tus_uploads AS u
    WHERE coalesce(u.owner_id, u.begun_by) = whose
      AND (u.finished_at IS NULL OR u.kind = 'partial');
    PERFORM set_config('storage_engine.caller', coalesce(before, ''), true);
    RETURN CASE
        WHEN uploads >= count_max THEN 'count'
        WHEN bytes + wanted > bytes_max THEN 'bytes'
    END;
END;
$$;

DO $do$
BEGIN
    REVOKE ALL ON FUNCTION storage_engine.tus_refusal(text, numeric, bigint, numeric) FROM PUBLIC;
    PERFORM ferrobase.attempt('resumable uploads', 'resumable uploads are switched off', $grants$
        GRANT EXECUTE ON FUNCTION storage_engine.tus_refusal(text, numeric, bigint, numeric)
            TO supabase_storage_admin
    $grants$);
END;
$do$;
