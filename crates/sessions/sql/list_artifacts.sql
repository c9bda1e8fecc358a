-- What jobs made or did, newest first. $1 session, $2 job or null, $3 limit,
-- $4 offset. Null when there is no such session. By artifacts_session.
SELECT jsonb_build_object(
    'artifacts', coalesce((
        SELECT jsonb_agg(to_jsonb(p) ORDER BY p.created_at DESC, p.id DESC) FROM (
            SELECT * FROM work.artifacts AS a
            WHERE a.session_id = s.id AND ($2::uuid IS NULL OR a.job_id = $2::uuid)
            ORDER BY a.created_at DESC, a.id DESC LIMIT $3::bigint OFFSET $4::bigint) AS p), '[]'),
    'total', (SELECT count(*) FROM work.artifacts AS a
              WHERE a.session_id = s.id AND ($2::uuid IS NULL OR a.job_id = $2::uuid)))
FROM work.sessions AS s WHERE s.id = $1::uuid
