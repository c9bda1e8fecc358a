-- A file's text, now or at a checkpoint. $1 session, $2 path, $3 checkpoint.
-- Caller: files::text.
SELECT lovable.text_of(b.content)
FROM (
    SELECT f.blob_id FROM work.workspace_files AS f
    WHERE $3::uuid IS NULL AND f.session_id = $1::uuid AND f.path = $2
    UNION ALL
    SELECT t.blob_id FROM work.checkpoints AS c JOIN work.tree_files AS t ON t.tree_id = c.tree_id
    WHERE c.id = $3::uuid AND c.session_id = $1::uuid AND t.path = $2
) AS f
JOIN work.blobs AS b ON b.id = f.blob_id
