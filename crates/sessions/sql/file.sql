-- A file as it is. $1 session, $2 path.
SELECT encode(b.sha256, 'hex'), f.mode, b.content
FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid AND f.path = normalize($2::text, NFC)
