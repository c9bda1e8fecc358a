-- Purpose: the files that rows name, a page at a time, in the order of their
-- names; with size and hash where they were recorded.
-- Callers: backup::files. Index: the one on storage.objects (version).
SELECT DISTINCT o.version,
       coalesce(w.size::text, o.metadata ->> 'size'),
       encode(w.sha256, 'hex')
FROM storage.objects AS o
LEFT JOIN storage_engine.written AS w ON w.version = o.version
WHERE o.version > $1
ORDER BY o.version
LIMIT $2::text::bigint
