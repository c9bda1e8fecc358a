-- A file's bytes as hex. $1 session, $2 path. Caller: files::bytes.
SELECT encode(b.content, 'hex') FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid AND f.path = $2
