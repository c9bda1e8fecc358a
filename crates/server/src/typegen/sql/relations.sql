-- Tables, foreign tables, views and materialized views of the wanted schemas.
-- A view may be written to when it is simple, or by INSTEAD triggers and rules:
-- bit 8 of pg_relation_is_updatable is INSERT, bit 4 is UPDATE.
-- $1: the wanted schemas, as a JSON array of names.
-- Callers: typegen::metadata.
SELECT coalesce(json_agg(json_build_object(
           'id', class.oid::int8,
           'schema', namespace.nspname,
           'name', class.relname,
           'kind', class.relkind,
           'insertable', class.relkind = 'v' AND pg_relation_is_updatable(class.oid, true) & 8 = 8,
           'updatable', class.relkind = 'v' AND pg_relation_is_updatable(class.oid, true) & 4 = 4)),
       '[]')
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE namespace.nspname = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
   AND (class.relkind IN ('v', 'm', 'f')
        OR class.relkind IN ('r', 'p')
           AND (pg_has_role(class.relowner, 'USAGE')
                OR has_table_privilege(class.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                OR has_any_column_privilege(class.oid, 'SELECT, INSERT, UPDATE, REFERENCES')))
