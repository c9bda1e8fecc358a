-- Takes mails that are due, for as long as the lease lasts: another node may
-- have them when it has run out. By mail::sender.
-- The inner query is a fence: it locks no more rows than it returns.
WITH due AS MATERIALIZED (
    SELECT q.id
    FROM ferrobase.mail_queue AS q
    WHERE q.state = 'waiting' AND q.next_at <= now()
    ORDER BY q.next_at
    LIMIT $3::text::integer
    FOR UPDATE SKIP LOCKED
)
UPDATE ferrobase.mail_queue AS q
SET claim = $1::text::uuid,
    attempts = q.attempts + 1,
    next_at = now() + make_interval(secs => $2::text::double precision)
FROM due
WHERE q.id = due.id
RETURNING q.id, q.recipient, q.subject, q.html, q.plain, q.attempts,
    extract(epoch FROM q.created_at)::bigint
