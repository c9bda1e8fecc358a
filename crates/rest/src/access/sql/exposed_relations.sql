-- Purpose: everything in these schemas that rows can be read from or written
-- to, with the commands that work on it at all.
-- Parameters: $1 the schemas, as an array. Callers: access::report.
SELECT json_build_object(
    'schema', namespace.nspname,
    'name', class.relname,
    'declared_public', coalesce(obj_description(class.oid, 'pg_class') LIKE '%@ferrobase.public%', false),
    'insertable', class.relkind IN ('r', 'p') OR pg_relation_is_updatable(class.oid, true) & 8 <> 0,
    'updatable', class.relkind IN ('r', 'p') OR pg_relation_is_updatable(class.oid, true) & 4 <> 0,
    'deletable', class.relkind IN ('r', 'p') OR pg_relation_is_updatable(class.oid, true) & 16 <> 0
)::text
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = ANY ($1::text[])
  AND class.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY namespace.nspname, class.relname
