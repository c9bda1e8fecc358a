-- Purpose: the comment on a schema, which names and describes the API.
-- Parameters: $1 the schema.
-- Callers: openapi::statements.
SELECT obj_description(oid, 'pg_namespace')
FROM pg_catalog.pg_namespace
WHERE nspname = $1
