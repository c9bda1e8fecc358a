-- A mail could not be sent: later again, or never (`$4` is NULL). By
-- mail::sender, which only may while the claim is its own.
UPDATE ferrobase.mail_queue
SET claim = NULL,
    last_error = $3::text,
    state = CASE WHEN $4::text IS NULL THEN 'dead' ELSE 'waiting' END,
    done_at = CASE WHEN $4::text IS NULL THEN now() END,
    next_at = now() + make_interval(secs => coalesce($4::text::double precision, 0)),
    html = CASE WHEN $4::text IS NULL THEN '' ELSE html END,
    plain = CASE WHEN $4::text IS NULL THEN '' ELSE plain END
WHERE id = $1::text::uuid AND claim = $2::text::uuid AND state = 'waiting'
