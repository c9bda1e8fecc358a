-- Purpose: the files that rows name, a page at a time, in the order of their
-- names; with size and hash where they were recorded. `sums` is a length and a
-- SHA-256 for each piece that was written; one piece is the whole file.
-- Callers: backup::files. Index: the one on storage.objects (version).
SELECT DISTINCT o.version,
       coalesce(w.size::text, o.metadata ->> 'size'),
       CASE
           WHEN octet_length(w.sums) = 40 THEN encode(substr(w.sums, 9), 'hex')
       END
FROM storage.objects AS o
LEFT JOIN storage_engine.written AS w ON w.version = o.version
WHERE o.version > $1
ORDER BY o.version
LIMIT $2::text::bigint
