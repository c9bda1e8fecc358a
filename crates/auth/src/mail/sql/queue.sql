-- Queues a mail. In the transaction that makes it necessary; by mail::queue.
INSERT INTO ferrobase.mail_queue (id, template, recipient, subject, html, plain)
VALUES ($1::text::uuid, $2::text, $3::text, $4::text, $5::text, $6::text)
