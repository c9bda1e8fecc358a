-- Purpose: an asset that the caller sees; of this project and type, where they are named.
-- Callers: apps/drama/src/library.rs.
SELECT jsonb_build_object(
    'asset_id', a.asset_id, 'user_id', a.user_id, 'project_name', a.project_name,
    'asset_type', a.asset_type, 'tag', a.tag, 'filename', a.filename,
    'content_type', a.content_type, 'file_size', a.file_size, 'r2_key', a.r2_key,
    'created_at', a.created_at, 'updated_at', a.updated_at, 'metadata', a.metadata
)::text
FROM drama.assets AS a
WHERE a.asset_id = $1::uuid
    AND ($2 = '' OR a.project = $2)
    AND ($3 = '' OR a.asset_type = $3)
