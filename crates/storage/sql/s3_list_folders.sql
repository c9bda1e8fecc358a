-- The same with what lies behind a delimiter folded into its prefix: one step
-- in the index for each entry, whatever a folder holds.
-- Callers: s3::ops::list. Index: storage.objects (bucket_id, name COLLATE "C").
WITH RECURSIVE walk AS (
    SELECT n.*, 1::bigint AS step
    FROM (
        SELECT o.name, o.metadata, o.updated_at,
            left(o.name, length($2) + nullif(strpos(substr(o.name, length($2) + 1), $5), 0) + length($5) - 1) AS folder
        FROM storage.objects AS o
        WHERE o.bucket_id = $1
          AND o.name COLLATE "C" > $3
          AND o.name COLLATE "C" >= $2 AND o.name COLLATE "C" < $2 || chr(1114111)
        ORDER BY o.name COLLATE "C"
        LIMIT 1
    ) AS n
    UNION ALL
    SELECT n.*, w.step + 1
    FROM walk AS w
    CROSS JOIN LATERAL (
        SELECT o.name, o.metadata, o.updated_at,
            left(o.name, length($2) + nullif(strpos(substr(o.name, length($2) + 1), $5), 0) + length($5) - 1) AS folder
        FROM storage.objects AS o
        WHERE o.bucket_id = $1
          AND o.name COLLATE "C" > coalesce(w.folder || chr(1114111), w.name)
          AND o.name COLLATE "C" < $2 || chr(1114111)
        ORDER BY o.name COLLATE "C"
        LIMIT 1
    ) AS n
    WHERE w.step < $4::bigint
)
SELECT w.name, w.folder, w.metadata ->> 'eTag', w.metadata ->> 'size',
    to_char(w.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
FROM walk AS w
ORDER BY w.step
