-- Seconds until the next mail is due, NULL when none waits. By mail::sender.
SELECT greatest(extract(epoch FROM min(next_at) - now()), 0)::text
FROM ferrobase.mail_queue
WHERE state = 'waiting'
