-- The turn's checkpoint, made once. $1 session, $2 turn. Caller: work::checkpoint.
WITH known AS (
    SELECT c.id, c.label FROM work.checkpoints AS c
    WHERE c.session_id = $1::uuid AND c.metadata ->> 'turn' = $2
    LIMIT 1
), number AS (
    SELECT 1 + coalesce(max((c.metadata ->> 'version')::integer), 0) AS n
    FROM work.checkpoints AS c WHERE c.session_id = $1::uuid
), made AS (
    SELECT c.id, c.label FROM number AS v
    CROSS JOIN LATERAL work.create_checkpoint($1::uuid,
        'Version ' || v.n || coalesce(': ' || (SELECT left(j.labels ->> 'prompt', 80) FROM work.jobs AS j WHERE j.id = $2::uuid), ''),
        NULL, jsonb_build_object('turn', $2, 'version', v.n)) AS c
    WHERE NOT EXISTS (SELECT FROM known)
)
SELECT jsonb_build_object('checkpoint_id', c.id, 'label', c.label)
FROM (SELECT * FROM known UNION ALL SELECT * FROM made) AS c
