-- Objects of a bucket under a prefix, behind a name, in the order of bytes.
-- Callers: s3::ops::list. Index: storage.objects (bucket_id, name COLLATE "C").
SELECT o.name, NULL, o.metadata ->> 'eTag', o.metadata ->> 'size',
    to_char(o.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
FROM storage.objects AS o
WHERE o.bucket_id = $1
  AND o.name COLLATE "C" > $3
  AND o.name COLLATE "C" >= $2 AND o.name COLLATE "C" < $2 || chr(1114111)
ORDER BY o.name COLLATE "C"
LIMIT $4::bigint
