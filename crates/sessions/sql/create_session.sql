-- A new session, or the one that has this key already; and whether it is new.
-- $1 the fields. By sessions_key.
WITH given AS (
    SELECT $1::jsonb AS f, coalesce($1::jsonb ->> 'owner', work.me()) AS owner
), made AS (
    INSERT INTO work.sessions AS s (id, key, owner, title, metadata, keep_checkpoints)
    SELECT coalesce((g.f ->> 'id')::uuid, work.uuid_v7()), g.f ->> 'key', g.owner, g.f ->> 'title',
        coalesce(nullif(g.f -> 'metadata', 'null'), '{}'), coalesce((g.f ->> 'keep_checkpoints')::integer, 20)
    FROM given AS g
    ON CONFLICT (coalesce(owner, ''), key) WHERE key IS NOT NULL DO NOTHING
    RETURNING s.*
)
SELECT to_jsonb(m), true FROM made AS m
UNION ALL
SELECT to_jsonb(s), false FROM work.sessions AS s, given AS g
WHERE s.key = g.f ->> 'key' AND s.owner IS NOT DISTINCT FROM g.owner AND NOT EXISTS (SELECT FROM made)
