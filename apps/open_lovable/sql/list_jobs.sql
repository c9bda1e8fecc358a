-- The jobs of a session, newest first, as rows of `j`. $1 session, $2 limit, $3
-- offset. By jobs_session.
SELECT * FROM work.jobs AS j WHERE j.session_id = $1::uuid
ORDER BY j.created_at DESC, j.id DESC LIMIT $2::bigint OFFSET $3::bigint
