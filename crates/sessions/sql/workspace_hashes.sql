-- The files of a session by path, hash and mode, without their bytes. $1
-- session, $2 the path after which to go on, $3 limit. By the primary key.
SELECT f.path, encode(b.sha256, 'hex'), f.mode, f.size
FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid AND f.path > $2::text
ORDER BY f.path LIMIT $3::bigint
