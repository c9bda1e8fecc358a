-- Purpose: the comments on the exposed schemas.
-- Parameters: $1 exposed schemas.
-- Callers: catalog::load.
SELECT nspname, obj_description(oid, 'pg_namespace')
FROM pg_namespace
WHERE nspname = ANY ($1::text[])
  AND obj_description(oid, 'pg_namespace') IS NOT NULL
