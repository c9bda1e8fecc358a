-- Changes what is given of a message: an answer that is still being written.
-- $1 id, $2 the fields.
UPDATE work.messages AS m
SET content = coalesce($2::jsonb ->> 'content', m.content),
    parts = CASE WHEN $2::jsonb ? 'parts' THEN nullif($2::jsonb -> 'parts', 'null') ELSE m.parts END,
    metadata = m.metadata || coalesce(nullif($2::jsonb -> 'metadata', 'null'), '{}')
WHERE m.id = $1::uuid
RETURNING to_jsonb(m) - 'search'
