-- Forgets mails that were done with a week ago, some at a time. By mail::sender.
DELETE FROM ferrobase.mail_queue
WHERE id IN (
    SELECT id FROM ferrobase.mail_queue
    WHERE state <> 'waiting' AND done_at < now() - interval '7 days'
    ORDER BY done_at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
