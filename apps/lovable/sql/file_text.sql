-- A file's text. $1 session, $2 path. Caller: files::text.
SELECT lovable.text_of(b.content) FROM work.workspace_files AS f JOIN work.blobs AS b ON b.id = f.blob_id
WHERE f.session_id = $1::uuid AND f.path = $2
