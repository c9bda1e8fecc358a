-- The caller's session of this name, made if there is none. $1 its name.
-- Caller: turns::open.
WITH known AS (
    SELECT lovable.session_of($1) AS id
), made AS (
    INSERT INTO work.sessions (key, metadata)
    SELECT $1, '{"app": "lovable"}' FROM known AS k WHERE k.id IS NULL
    RETURNING id
)
SELECT jsonb_build_object('id', coalesce(k.id, m.id), 'exists', k.id IS NOT NULL)
FROM known AS k LEFT JOIN made AS m ON true
