-- The bytes of some files of a session. $1 session, $2 an array of their paths
-- as JSON. By the primary key.
SELECT f.path, f.mode, b.content
FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid AND f.path IN (SELECT p FROM jsonb_array_elements_text($2::jsonb) AS p)
ORDER BY f.path
