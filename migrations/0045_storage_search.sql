-- Why: the first generation of listing (see storage_listing), and who owns the functions.
-- Lock impact: creates functions only.

DO $do$
BEGIN
    IF NOT ferrobase.storage_is_ours() THEN
        RETURN;
    END IF;

    -- Names come back without `prefix`; what `search` begins stays. `levels` is
    -- what older clients send; the prefix says it already.
    CREATE OR REPLACE FUNCTION storage.search(
        prefix text,
        bucketname text,
        limits integer DEFAULT 100,
        levels integer DEFAULT 1,
        offsets integer DEFAULT 0,
        search text DEFAULT '',
        sortcolumn text DEFAULT 'name',
        sortorder text DEFAULT 'asc'
    )
    RETURNS TABLE (name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
    LANGUAGE plpgsql STABLE
    AS $body$
    DECLARE
        most constant integer := least(coalesce(limits, 100), 1500);
        skipped constant integer := greatest(coalesce(offsets, 0), 0);
        hidden constant integer := length(coalesce(prefix, '')) + 1;
        wanted constant text := lower(coalesce(prefix, '') || coalesce(search, ''));
        ceiling constant text := wanted || chr(1114111);
        ascending constant boolean := lower(coalesce(sortorder, 'asc')) = 'asc';
        by_time constant text := lower(coalesce(sortcolumn, 'name'));
        pace constant integer := greatest(100, most);
        floor text := wanted;
        roof text := ceiling;
        passed integer := 0;
        seen integer;
        jumped boolean;
        found record;
        folder text;
    BEGIN
        IF by_time IN ('updated_at', 'created_at', 'last_accessed_at') THEN
            RETURN QUERY
            WITH under AS (
                SELECT o.*, storage.get_common_prefix(o.name, coalesce($1, '') || coalesce($6, ''), '/') AS folder
                FROM storage.objects AS o
                WHERE o.bucket_id = bucketname
                  AND lower(o.name) COLLATE "C" >= wanted AND lower(o.name) COLLATE "C" < ceiling
            ), entries AS (
                SELECT 0 AS kind, substr(left(u.folder, -1), hidden) AS name, NULL::uuid AS id, NULL::timestamptz AS updated_at,
                       NULL::timestamptz AS created_at, NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
                FROM under AS u
                WHERE u.folder IS NOT NULL
                GROUP BY u.folder
                UNION ALL
                SELECT 1, substr(u.name, hidden), u.id, u.updated_at, u.created_at, u.last_accessed_at, u.metadata
                FROM under AS u
                WHERE u.folder IS NULL
            ), timed AS (
                SELECT e.*, CASE by_time
                    WHEN 'updated_at' THEN e.updated_at WHEN 'created_at' THEN e.created_at ELSE e.last_accessed_at END AS at
                FROM entries AS e
            )
            SELECT t.name, t.id, t.updated_at, t.created_at, t.last_accessed_at, t.metadata
            FROM timed AS t
            ORDER BY t.kind,
                CASE WHEN ascending THEN t.at END, CASE WHEN NOT ascending THEN t.at END DESC,
                CASE WHEN ascending THEN t.name END, CASE WHEN NOT ascending THEN t.name END DESC
            LIMIT most OFFSET skipped;
            RETURN;
        END IF;
        WHILE passed < skipped + most LOOP
            seen := 0;
            jumped := false;
            FOR found IN
                SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
                FROM storage.objects AS o
                WHERE ascending AND o.bucket_id = bucketname
                  AND lower(o.name) COLLATE "C" >= floor AND lower(o.name) COLLATE "C" < roof
                ORDER BY lower(o.name) COLLATE "C"
                LIMIT pace
            LOOP
                seen := seen + 1;
                passed := passed + 1;
                folder := storage.get_common_prefix(found.name, wanted, '/');
                IF passed > skipped THEN
                    RETURN QUERY SELECT substr(coalesce(left(folder, -1), found.name), hidden),
                        CASE WHEN folder IS NULL THEN found.id END, CASE WHEN folder IS NULL THEN found.updated_at END,
                        CASE WHEN folder IS NULL THEN found.created_at END,
                        CASE WHEN folder IS NULL THEN found.last_accessed_at END,
                        CASE WHEN folder IS NULL THEN found.metadata END;
                END IF;
                jumped := folder IS NOT NULL;
                floor := CASE WHEN jumped THEN lower(folder) || chr(1114111) ELSE lower(found.name) || chr(1) END;
                EXIT WHEN jumped OR passed >= skipped + most;
            END LOOP;
            FOR found IN
                SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
                FROM storage.objects AS o
                WHERE NOT ascending AND o.bucket_id = bucketname
                  AND lower(o.name) COLLATE "C" >= floor AND lower(o.name) COLLATE "C" < roof
                ORDER BY lower(o.name) COLLATE "C" DESC
                LIMIT pace
            LOOP
                seen := seen + 1;
                passed := passed + 1;
                folder := storage.get_common_prefix(found.name, wanted, '/');
                IF passed > skipped THEN
                    RETURN QUERY SELECT substr(coalesce(left(folder, -1), found.name), hidden),
                        CASE WHEN folder IS NULL THEN found.id END, CASE WHEN folder IS NULL THEN found.updated_at END,
                        CASE WHEN folder IS NULL THEN found.created_at END,
                        CASE WHEN folder IS NULL THEN found.last_accessed_at END,
                        CASE WHEN folder IS NULL THEN found.metadata END;
                END IF;
                jumped := folder IS NOT NULL;
                roof := CASE WHEN jumped THEN lower(folder) ELSE lower(found.name) END;
                EXIT WHEN jumped OR passed >= skipped + most;
            END LOOP;
            EXIT WHEN NOT jumped AND seen < pace;
        END LOOP;
    END;
    $body$;

    PERFORM ferrobase.hand_over('storage', 'supabase_storage_admin');
END;
$do$;
