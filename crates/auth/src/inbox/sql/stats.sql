-- How many messages there are, and how many are unread. By inbox::store.
SELECT count(*), count(*) FILTER (WHERE NOT seen) FROM ferrobase.inbox
