-- The files of a checkpoint. $1 session; $2 a folder or null; $3 the path after
-- which to go on, or null; $4 limit; $5 checkpoint. Null when there is none.
-- By the primary key.
WITH page AS (
    SELECT f.path, encode(b.sha256, 'hex') AS sha256, f.size, f.mode
    FROM work.checkpoints AS c
    JOIN work.tree_files AS f ON f.tree_id = c.tree_id
    JOIN work.blobs AS b ON b.id = f.blob_id
    WHERE c.id = $5::uuid AND c.session_id = $1::uuid
      AND ($2::text IS NULL OR (f.path > $2::text || '/' AND f.path < $2::text || '0'))
      AND f.path > coalesce($3::text, '')
    ORDER BY f.path LIMIT $4::bigint
)
SELECT jsonb_build_object(
    'files', coalesce((SELECT jsonb_agg(to_jsonb(p) ORDER BY p.path) FROM page AS p), '[]'),
    'total', t.files, 'size', t.size)
FROM work.checkpoints AS c JOIN work.trees AS t ON t.id = c.tree_id
WHERE c.id = $5::uuid AND c.session_id = $1::uuid
