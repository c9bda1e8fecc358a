-- Removes some messages, or all when none is named. By inbox::store.
DELETE FROM ferrobase.inbox
WHERE $1::text IS NULL OR id = ANY ($1::text::uuid[])
