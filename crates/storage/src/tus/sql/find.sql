-- One upload of this caller, by its primary key. $1 id, $2 who may hold it:
-- `holder` says whether that is so (`mine`), nobody, or somebody else.
SELECT jsonb_build_object(
    'id', id, 'blob', blob, 'kind', kind, 'bucket', bucket_id, 'name', name, 'concat', concat,
    'metadata', metadata, 'upsert', upsert, 'owner', owner_id, 'offset', "offset", 'length', length, 'most', most, 'expires_at', expires_at,
    'finished', finished_at IS NOT NULL,
    'holder', CASE
        WHEN holder = $2::uuid THEN 'mine'
        WHEN holder IS NULL OR held_until < now() THEN 'nobody'
        ELSE 'other'
    END)
FROM storage_engine.tus_uploads
WHERE id = $1
