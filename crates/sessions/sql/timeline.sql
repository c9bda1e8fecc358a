-- A window of what happened in a session, oldest first, each with the name and
-- type of the job it is about. $1 session; $2 after this number; $3 else before
-- this one, or the newest; $4 limit. Null when there is no such session. By the
-- primary key.
WITH page AS (
    (SELECT * FROM work.events AS e WHERE e.stream_id = $1::uuid AND e.seq > $2::bigint
     ORDER BY e.seq LIMIT $4::bigint)
    UNION ALL
    (SELECT * FROM work.events AS e
     WHERE $2::bigint IS NULL AND e.stream_id = $1::uuid AND e.seq < coalesce($3::bigint, 9223372036854775807)
     ORDER BY e.seq DESC LIMIT $4::bigint)
)
SELECT jsonb_build_object(
    'events', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'seq', p.seq, 'kind', p.kind, 'data', p.data, 'at', p.at, 'job_id', p.job_id,
            'job_type', j.type, 'job_name', j.name) ORDER BY p.seq)
        FROM page AS p LEFT JOIN work.jobs AS j ON j.id = p.job_id), '[]'),
    'last_seq', coalesce((SELECT t.last_seq FROM work.streams AS t WHERE t.id = s.id), 0))
FROM work.sessions AS s WHERE s.id = $1::uuid
