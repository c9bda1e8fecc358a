-- All files with their text, null for what is none or is larger than models
-- are shown. $1 session. Caller: files::sources.
SELECT coalesce(jsonb_agg(jsonb_build_object('path', f.path,
    'content', CASE WHEN f.size <= 262144 THEN lovable.text_of(b.content) END) ORDER BY f.path), '[]')
FROM (SELECT * FROM work.workspace_files AS f WHERE f.session_id = $1::uuid ORDER BY f.path LIMIT 1000) AS f
JOIN work.blobs AS b ON b.id = f.blob_id
