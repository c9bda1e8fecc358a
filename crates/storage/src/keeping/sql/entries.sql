-- Objects after $1 by their id, at most $2, with what is known of their bytes. Asked by fsck.
SELECT o.id, o.bucket_id, o.name, o.version, coalesce(w.size, (o.metadata ->> 'size')::bigint), w.sums
FROM storage.objects AS o
LEFT JOIN storage_engine.written AS w ON w.version = o.version
WHERE o.id > $1::uuid
ORDER BY o.id
LIMIT $2::integer
