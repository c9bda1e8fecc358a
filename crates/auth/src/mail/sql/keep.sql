-- Puts a mail into the built-in inbox and lets go of the oldest beyond the
-- five hundredth. In the transaction that makes the mail necessary; by
-- mail::queue. Rows that another such statement is removing are left to it.
WITH kept AS (
    INSERT INTO ferrobase.inbox (id, sender_name, sender, recipient, subject, html, plain)
    VALUES ($1::text::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text)
)
DELETE FROM ferrobase.inbox
WHERE seq IN (
    SELECT seq FROM ferrobase.inbox
    WHERE seq <= (SELECT seq FROM ferrobase.inbox ORDER BY seq DESC OFFSET 499 LIMIT 1)
    ORDER BY seq
    LIMIT 50
    FOR UPDATE SKIP LOCKED
)
