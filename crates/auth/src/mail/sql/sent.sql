-- A mail went out. Its body, which holds a link that signs somebody in, goes.
-- By mail::sender, which only may while the claim is its own.
UPDATE ferrobase.mail_queue
SET state = 'sent', done_at = now(), html = '', plain = '', claim = NULL, last_error = NULL
WHERE id = $1::text::uuid AND claim = $2::text::uuid AND state = 'waiting'
