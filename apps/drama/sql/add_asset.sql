-- Purpose: an asset whose bytes are there; the caller's, by its default.
-- Callers: apps/drama/src/library.rs.
INSERT INTO drama.assets AS a (
    asset_id, project_name, project, asset_type, tag, filename, content_type, file_size, r2_key, metadata
)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8::bigint, $9, $10::jsonb)
RETURNING jsonb_build_object(
    'asset_id', a.asset_id, 'user_id', a.user_id, 'project_name', a.project_name,
    'asset_type', a.asset_type, 'tag', a.tag, 'filename', a.filename,
    'content_type', a.content_type, 'file_size', a.file_size, 'r2_key', a.r2_key,
    'created_at', a.created_at, 'updated_at', a.updated_at, 'metadata', a.metadata
)::text
