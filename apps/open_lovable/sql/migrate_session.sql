-- The session that a state becomes. One that is there already gets what the
-- state knows better: notes of a later time. $1 the session that the state was
-- made from, or null; $2 key; $3 title; $4 metadata; $5 and $6 its times.
WITH known AS (
    UPDATE work.sessions AS s
    SET metadata = s.metadata || $4::jsonb - 'conversationId'
    WHERE s.id = $1::uuid AND s.owner IS NOT DISTINCT FROM work.me()
      AND ($4::jsonb ->> 'lastUpdated')::numeric > coalesce((s.metadata ->> 'lastUpdated')::numeric, extract(epoch FROM s.updated_at) * 1000)
)
INSERT INTO work.sessions AS s (key, title, metadata, created_at, updated_at)
SELECT $2::text, $3::text, $4::jsonb, coalesce($5::timestamptz, now()), coalesce($6::timestamptz, $5::timestamptz, now())
WHERE NOT EXISTS (SELECT FROM work.sessions AS o WHERE o.id = $1::uuid AND o.owner IS NOT DISTINCT FROM work.me())
ON CONFLICT (coalesce(owner, ''), key) WHERE key IS NOT NULL DO UPDATE
SET metadata = s.metadata || excluded.metadata
WHERE (excluded.metadata ->> 'lastUpdated')::numeric > coalesce((s.metadata ->> 'lastUpdated')::numeric, 0)
