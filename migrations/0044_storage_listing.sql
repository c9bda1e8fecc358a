-- Why: listing a bucket as a tree: what lies directly under a prefix, with
-- everything deeper folded into folders. `search` is the first generation
-- (pages by number, letter case does not count), `search_v2` and
-- `list_objects_with_delimiter` the second (pages by cursor). Sorted by name
-- they cost what they return: behind a folder they seek to its end in the index
-- instead of reading through it.
-- Lock impact: creates functions only.

DO $do$
BEGIN
    IF NOT ferrobase.storage_is_ours() THEN
        RETURN;
    END IF;

    -- The bounds are made with the last code point there is: no name that begins
    -- with the prefix comes after `prefix || chr(1114111)`.
    CREATE OR REPLACE FUNCTION storage.list_objects_with_delimiter(
        _bucket_id text,
        prefix_param text,
        delimiter_param text,
        max_keys integer DEFAULT 100,
        start_after text DEFAULT '',
        next_token text DEFAULT '',
        sort_order text DEFAULT 'asc'
    )
    RETURNS TABLE (name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz)
    LANGUAGE plpgsql STABLE
    AS $body$
    DECLARE
        prefix constant text := coalesce(prefix_param, '');
        ceiling constant text := prefix || chr(1114111);
        ascending constant boolean := lower(coalesce(sort_order, 'asc')) = 'asc';
        after constant text := coalesce(nullif(next_token, ''), start_after, '');
        pace constant integer := greatest(100, max_keys);
        floor text := prefix;
        roof text := ceiling;
        given integer := 0;
        seen integer;
        jumped boolean;
        found record;
        folder text;
    BEGIN
        IF after <> '' THEN
            -- A cursor that names a folder has all of it behind it.
            folder := CASE WHEN right(after, length(delimiter_param)) = delimiter_param THEN after ELSE after || delimiter_param END;
            IF NOT EXISTS (
                SELECT FROM storage.objects AS o
                WHERE o.bucket_id = _bucket_id
                  AND o.name COLLATE "C" >= folder AND o.name COLLATE "C" < folder || chr(1114111)
            ) THEN
                folder := NULL;
            END IF;
            IF ascending THEN
                floor := greatest(prefix COLLATE "C", coalesce(folder || chr(1114111), after || chr(1)) COLLATE "C");
            ELSE
                roof := least(ceiling COLLATE "C", coalesce(folder, after) COLLATE "C");
            END IF;
        END IF;
        WHILE given < max_keys LOOP
            seen := 0;
            jumped := false;
            FOR found IN
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE ascending AND o.bucket_id = _bucket_id
                  AND o.name COLLATE "C" >= floor AND o.name COLLATE "C" < roof
                ORDER BY o.name COLLATE "C"
                LIMIT pace
            LOOP
                EXIT WHEN NOT ascending;
                seen := seen + 1;
                folder := storage.get_common_prefix(found.name, prefix, delimiter_param);
                IF folder IS NOT NULL THEN
                    RETURN QUERY SELECT left(folder, -length(delimiter_param)),
                        NULL::uuid, NULL::jsonb, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz;
                    floor := folder || chr(1114111);
                    jumped := true;
                ELSE
                    RETURN QUERY SELECT found.name, found.id, found.metadata,
                        found.updated_at, found.created_at, found.last_accessed_at;
                    floor := found.name || chr(1);
                END IF;
                given := given + 1;
                EXIT WHEN jumped OR given >= max_keys;
            END LOOP;
            FOR found IN
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE NOT ascending AND o.bucket_id = _bucket_id
                  AND o.name COLLATE "C" >= floor AND o.name COLLATE "C" < roof
                ORDER BY o.name COLLATE "C" DESC
                LIMIT pace
            LOOP
                seen := seen + 1;
                folder := storage.get_common_prefix(found.name, prefix, delimiter_param);
                IF folder IS NOT NULL THEN
                    RETURN QUERY SELECT left(folder, -length(delimiter_param)),
                        NULL::uuid, NULL::jsonb, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz;
                    roof := folder;
                    jumped := true;
                ELSE
                    RETURN QUERY SELECT found.name, found.id, found.metadata,
                        found.updated_at, found.created_at, found.last_accessed_at;
                    roof := found.name;
                END IF;
                given := given + 1;
                EXIT WHEN jumped OR given >= max_keys;
            END LOOP;
            EXIT WHEN NOT jumped AND seen < pace;
        END LOOP;
    END;
    $body$;

    -- By time the tree has to be looked at as a whole. A folder is as old as the
    -- first thing in it.
    CREATE OR REPLACE FUNCTION storage.search_by_timestamp(
        p_prefix text,
        p_bucket_id text,
        p_limit integer,
        p_level integer,
        p_start_after text,
        p_sort_order text,
        p_sort_column text,
        p_sort_column_after text
    )
    RETURNS TABLE (
        key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
    )
    LANGUAGE sql STABLE
    AS $body$
        WITH under AS (
            SELECT o.*, storage.get_common_prefix(o.name, coalesce(p_prefix, ''), '/') AS folder
            FROM storage.objects AS o
            WHERE o.bucket_id = p_bucket_id
              AND o.name COLLATE "C" >= coalesce(p_prefix, '')
              AND o.name COLLATE "C" < coalesce(p_prefix, '') || chr(1114111)
        ), entries AS (
            SELECT u.name, u.id, u.updated_at, u.created_at, u.last_accessed_at, u.metadata
            FROM under AS u
            WHERE u.folder IS NULL
            UNION ALL
            SELECT left(u.folder, -1), NULL, min(u.created_at), min(u.created_at), NULL, NULL
            FROM under AS u
            WHERE u.folder IS NOT NULL
            GROUP BY u.folder
        ), timed AS (
            -- Cursors have milliseconds, so that is what is compared.
            SELECT e.*, coalesce(date_trunc('milliseconds',
                CASE p_sort_column WHEN 'updated_at' THEN e.updated_at ELSE e.created_at END), 'epoch') AS at
            FROM entries AS e
        ), since AS (
            SELECT coalesce(nullif(p_sort_column_after, '')::timestamptz, 'epoch') AS at, coalesce(p_start_after, '') AS name
        )
        SELECT split_part(t.name, '/', p_level), t.name, t.id, t.updated_at, t.created_at, t.last_accessed_at, t.metadata
        FROM timed AS t, since AS s
        WHERE s.name = ''
           OR CASE WHEN p_sort_order = 'asc'
                   THEN (t.at, t.name COLLATE "C") > (s.at, s.name COLLATE "C")
                   ELSE (t.at, t.name COLLATE "C") < (s.at, s.name COLLATE "C")
              END
        ORDER BY
            CASE WHEN p_sort_order = 'asc' THEN t.at END,
            CASE WHEN p_sort_order <> 'asc' THEN t.at END DESC,
            CASE WHEN p_sort_order = 'asc' THEN t.name END COLLATE "C",
            CASE WHEN p_sort_order <> 'asc' THEN t.name END COLLATE "C" DESC
        LIMIT p_limit
    $body$;

    CREATE OR REPLACE FUNCTION storage.search_v2(
        prefix text,
        bucket_name text,
        limits integer DEFAULT 100,
        levels integer DEFAULT 1,
        start_after text DEFAULT '',
        sort_order text DEFAULT 'asc',
        sort_column text DEFAULT 'name',
        sort_column_after text DEFAULT ''
    )
    RETURNS TABLE (
        key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
    )
    LANGUAGE plpgsql STABLE
    AS $body$
    DECLARE
        most constant integer := least(coalesce(limits, 100), 1500);
        direction constant text := CASE lower(sort_order) WHEN 'desc' THEN 'desc' ELSE 'asc' END;
    BEGIN
        IF lower(sort_column) IN ('updated_at', 'created_at') THEN
            RETURN QUERY SELECT t.* FROM storage.search_by_timestamp(
                prefix, bucket_name, most, levels, start_after, direction, lower(sort_column), sort_column_after) AS t;
        ELSE
            RETURN QUERY
            SELECT split_part(l.name, '/', levels), l.name, l.id, l.updated_at, l.created_at, l.last_accessed_at, l.metadata
            FROM storage.list_objects_with_delimiter(bucket_name, prefix, '/', most, start_after, '', direction) AS l;
        END IF;
    END;
    $body$;

    CREATE OR REPLACE FUNCTION storage.list_multipart_uploads_with_delimiter(
        bucket_id text,
        prefix_param text,
        delimiter_param text,
        max_keys integer DEFAULT 100,
        next_key_token text DEFAULT '',
        next_upload_token text DEFAULT ''
    )
    RETURNS TABLE (key text, id text, created_at timestamptz)
    LANGUAGE sql
    AS $body$
        WITH listed AS (
            SELECT coalesce(storage.get_common_prefix(u.key, $2, $3), u.key) COLLATE "C" AS key, u.id, u.created_at
            FROM storage.s3_multipart_uploads AS u
            WHERE u.bucket_id = $1 AND starts_with(u.key, $2)
              AND ($6 = '' OR u.id COLLATE "C" > $6)
        )
        SELECT DISTINCT ON (l.key) l.key, l.id, l.created_at
        FROM listed AS l
        WHERE $5 = '' OR $6 <> '' OR l.key > $5
        ORDER BY l.key, l.created_at
        LIMIT $4
    $body$;
END;
$do$;
