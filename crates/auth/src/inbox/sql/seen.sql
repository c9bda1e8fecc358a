-- Marks messages as read or unread. By inbox::store.
UPDATE ferrobase.inbox SET seen = $2::text::boolean
WHERE $1::text IS NULL OR id = ANY ($1::text::uuid[])
