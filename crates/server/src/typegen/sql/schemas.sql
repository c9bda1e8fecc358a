-- The wanted schemas that exist and that we may look into.
-- $1: the wanted schemas, as a JSON array of names.
-- Callers: typegen::metadata.
SELECT coalesce(json_agg(namespace.nspname), '[]')
  FROM pg_catalog.pg_namespace AS namespace
 WHERE namespace.nspname = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
   AND NOT starts_with(namespace.nspname, 'pg_')
   AND (pg_has_role(namespace.nspowner, 'USAGE')
        OR has_schema_privilege(namespace.oid, 'CREATE, USAGE'))
