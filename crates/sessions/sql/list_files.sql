-- The files of a session as they are. $1 session; $2 a folder or null; $3 the
-- path after which to go on, or null; $4 limit. Null when there is no such
-- session. By the primary key.
WITH page AS (
    SELECT f.path, encode(b.sha256, 'hex') AS sha256, f.size, f.mode, f.updated_at
    FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
    WHERE f.session_id = $1::uuid
      AND ($2::text IS NULL OR (f.path > $2::text || '/' AND f.path < $2::text || '0'))
      AND f.path > coalesce($3::text, '')
    ORDER BY f.path LIMIT $4::bigint
)
SELECT jsonb_build_object(
    'files', coalesce((SELECT jsonb_agg(to_jsonb(p) ORDER BY p.path) FROM page AS p), '[]'),
    'total', (SELECT count(*) FROM work.workspace_files AS f WHERE f.session_id = s.id),
    'size', (SELECT coalesce(sum(f.size), 0) FROM work.workspace_files AS f WHERE f.session_id = s.id))
FROM work.sessions AS s WHERE s.id = $1::uuid
