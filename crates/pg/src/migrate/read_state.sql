-- Purpose: everything a start needs to know about our schema, in one question.
-- Callers: pg::migrate. Two tables of a few dozen rows; no index matters.
SELECT 'migration' AS kind,
       m.version::text AS a,
       m.name AS b,
       m.checksum AS c,
       m.version AS place
FROM ferrobase.schema_migrations AS m
UNION ALL
SELECT 'degradation', d.feature, d.reason, d.consequence, 0
FROM ferrobase.degradations AS d
WHERE NOT d.derived
ORDER BY kind, place, a
