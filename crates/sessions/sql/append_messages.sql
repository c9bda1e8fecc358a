-- Appends messages. $1 session, $2 an array of them.
SELECT jsonb_build_object('messages', coalesce(jsonb_agg(to_jsonb(m) - 'search' ORDER BY m.seq), '[]'))
FROM work.append_messages($1::uuid, $2::jsonb) AS m
