-- Why: the small functions of schema `storage` that policies, clients and other
-- servers call by name, and the triggers on its tables.
-- Lock impact: triggers on storage.buckets and storage.objects.

DO $do$
BEGIN
    IF NOT ferrobase.storage_is_ours() THEN
        RETURN;
    END IF;

    -- What is being done, for policies that allow some ways and not others.
    CREATE OR REPLACE FUNCTION storage.operation() RETURNS text LANGUAGE sql STABLE AS $body$
        SELECT current_setting('storage.operation', true)
    $body$;

    -- The name of an operation with or without `storage.` before it.
    CREATE OR REPLACE FUNCTION storage.allow_any_operation(expected_operations text[])
    RETURNS boolean LANGUAGE sql STABLE AS $body$
        SELECT coalesce(bool_or(
            regexp_replace(wanted, '^storage\.', '') = regexp_replace(storage.operation(), '^storage\.', '')
        ), false)
        FROM unnest($1) AS wanted
        WHERE wanted <> ''
    $body$;
    CREATE OR REPLACE FUNCTION storage.allow_only_operation(expected_operation text)
    RETURNS boolean LANGUAGE sql STABLE AS $body$
        SELECT storage.allow_any_operation(ARRAY[$1])
    $body$;

    CREATE OR REPLACE FUNCTION storage.get_size_by_bucket()
    RETURNS TABLE (size bigint, bucket_id text) LANGUAGE sql STABLE AS $body$
        SELECT sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id
        FROM storage.objects AS o
        GROUP BY o.bucket_id
    $body$;

    -- Asks the policies by an INSERT that never stays: it always ends in an
    -- error, PT200 where everything would have been well.
    CREATE OR REPLACE FUNCTION storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb)
    RETURNS void LANGUAGE plpgsql AS $body$
    BEGIN
        INSERT INTO storage.objects (bucket_id, name, owner, metadata)
        VALUES (bucketid, can_insert_object.name, can_insert_object.owner, can_insert_object.metadata);
        RAISE EXCEPTION USING ERRCODE = 'PT200', MESSAGE = 'ROLLBACK', DETAIL = 'the object may be inserted';
    END;
    $body$;

    -- The part of a key up to the first delimiter behind the prefix; null where
    -- there is none.
    CREATE OR REPLACE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text)
    RETURNS text LANGUAGE sql IMMUTABLE AS $body$
        SELECT left($1, length($2) + nullif(strpos(substr($1, length($2) + 1), $3), 0) + length($3) - 1)
    $body$;

    CREATE OR REPLACE FUNCTION storage.update_updated_at_column()
    RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        NEW.updated_at := now();
        RETURN NEW;
    END;
    $body$;
    CREATE OR REPLACE TRIGGER update_objects_updated_at BEFORE UPDATE ON storage.objects
        FOR EACH ROW EXECUTE FUNCTION storage.update_updated_at_column();

    CREATE OR REPLACE FUNCTION storage.enforce_bucket_name_length()
    RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        IF length(NEW.name) > 100 THEN
            RAISE EXCEPTION 'bucket name "%" is too long (% characters). Max is 100.', NEW.name, length(NEW.name);
        END IF;
        RETURN NEW;
    END;
    $body$;
    CREATE OR REPLACE TRIGGER enforce_bucket_name_length_trigger BEFORE INSERT OR UPDATE OF name ON storage.buckets
        FOR EACH ROW EXECUTE FUNCTION storage.enforce_bucket_name_length();

    -- Rows go through the API, which sees to their bytes. A script that means it
    -- says SET storage.allow_delete_query = 'true'.
    CREATE OR REPLACE FUNCTION storage.protect_delete()
    RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        IF current_setting('storage.allow_delete_query', true) IS DISTINCT FROM 'true' THEN
            RAISE EXCEPTION 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Files of deleted rows would stay behind unseen.';
        END IF;
        RETURN NULL;
    END;
    $body$;
    CREATE OR REPLACE TRIGGER protect_buckets_delete BEFORE DELETE ON storage.buckets
        FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();
    CREATE OR REPLACE TRIGGER protect_objects_delete BEFORE DELETE ON storage.objects
        FOR EACH STATEMENT EXECUTE FUNCTION storage.protect_delete();
END;
$do$;
