-- The beginning of a session, unless it has files. $1 session, $2 changes.
-- Caller: files::begin.
SELECT work.write_files(s.id, $2::jsonb) FROM lovable.sessions AS s
WHERE s.id = $1::uuid AND NOT EXISTS (SELECT FROM work.workspace_files AS f WHERE f.session_id = s.id)
