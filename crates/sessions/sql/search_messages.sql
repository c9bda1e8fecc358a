-- The caller's messages with these words. $1 words, $2 session or null, $3 limit.
SELECT jsonb_build_object('messages', coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.rank DESC, m.created_at DESC, m.id), '[]'))
FROM work.search_messages($1::text, $2::uuid, $3::integer) AS m
