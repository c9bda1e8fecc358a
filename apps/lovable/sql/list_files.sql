-- Paths and hashes. $1 session. Caller: files::list.
SELECT coalesce(jsonb_agg(jsonb_build_object('path', f.path, 'sha256', encode(b.sha256, 'hex')) ORDER BY f.path), '[]')
FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid
