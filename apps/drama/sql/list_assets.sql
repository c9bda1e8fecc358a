-- Purpose: the caller's assets of a project, newest first, a thousand at most, and how many there
-- are in all; of one type and with one tag, where they are named.
-- Callers: apps/drama/src/library.rs.
WITH seen AS (
    SELECT a.* FROM drama.assets AS a
    WHERE a.user_id = auth.uid()
        AND a.project = $1
        AND ($2 = '' OR a.asset_type = $2)
        AND ($3 = '' OR a.tag = $3)
), page AS (
    SELECT * FROM seen ORDER BY created_at DESC, asset_id LIMIT 1000
)
SELECT jsonb_build_object(
    'total', (SELECT count(*) FROM seen),
    'assets', coalesce(jsonb_agg(jsonb_build_object(
        'asset_id', a.asset_id, 'user_id', a.user_id, 'project_name', a.project_name,
        'asset_type', a.asset_type, 'tag', a.tag, 'filename', a.filename,
        'content_type', a.content_type, 'file_size', a.file_size, 'r2_key', a.r2_key,
        'created_at', a.created_at, 'updated_at', a.updated_at, 'metadata', a.metadata
    ) ORDER BY a.created_at DESC, a.asset_id), '[]')
)::text
FROM page AS a
