-- The message that is answered, and the newest ones before it: those that the
-- user sent later wait for their own turn. $1 session, $2 message, $3 how many.
-- Caller: work::planning.
SELECT jsonb_build_object('request', r.content, 'history', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('role', h.role, 'content', h.content) ORDER BY h.seq), '[]')
    FROM (
        SELECT m.role, m.content, m.seq FROM work.messages AS m
        WHERE m.session_id = r.session_id AND m.superseded_at IS NULL AND m.id <> r.id AND m.role IN ('user', 'assistant')
          AND (m.seq < r.seq OR (m.role = 'assistant' AND m.job_id IN (
              SELECT j.id FROM work.jobs AS j JOIN work.messages AS q ON q.job_id = j.parent_id
              WHERE q.session_id = r.session_id AND q.role = 'user' AND q.seq < r.seq)))
        ORDER BY m.seq DESC LIMIT $3::integer
    ) AS h))
FROM work.messages AS r WHERE r.session_id = $1::uuid AND r.id = $2::uuid AND r.superseded_at IS NULL
