-- Purpose: the relations of a schema that the current role may use in any way.
-- One column that may be read or written is enough.
-- Parameters: $1 the schema.
-- Callers: openapi::statements.
SELECT class.relname
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = $1
  AND class.relkind IN ('r', 'v', 'm', 'f', 'p')
  AND NOT class.relispartition
  AND (
    pg_has_role(class.relowner, 'USAGE')
    OR has_table_privilege(
      class.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
    )
    OR has_any_column_privilege(class.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
  )
