-- Changes what is given of a session. Metadata are merged; null takes one away.
-- $1 id, $2 the fields.
UPDATE work.sessions AS s
SET key = CASE WHEN $2::jsonb ? 'key' THEN $2::jsonb ->> 'key' ELSE s.key END,
    title = CASE WHEN $2::jsonb ? 'title' THEN $2::jsonb ->> 'title' ELSE s.title END,
    status = coalesce($2::jsonb ->> 'status', s.status),
    keep_checkpoints = coalesce(($2::jsonb ->> 'keep_checkpoints')::integer, s.keep_checkpoints),
    metadata = CASE WHEN jsonb_typeof($2::jsonb -> 'metadata') = 'object' THEN
        (s.metadata || ($2::jsonb -> 'metadata'))
            - ARRAY(SELECT e.key FROM jsonb_each($2::jsonb -> 'metadata') AS e WHERE e.value = 'null')
        ELSE s.metadata END
WHERE s.id = $1::uuid
RETURNING to_jsonb(s)
