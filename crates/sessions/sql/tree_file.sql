-- A file as it was at a checkpoint. $1 session, $2 path, $3 checkpoint.
SELECT encode(b.sha256, 'hex'), f.mode, b.content
FROM work.checkpoints AS c
JOIN work.tree_files AS f ON f.tree_id = c.tree_id
JOIN work.blobs AS b ON b.id = f.blob_id
WHERE c.id = $3::uuid AND c.session_id = $1::uuid AND f.path = normalize($2::text, NFC)
