-- Primary, unique and foreign keys of all schemas but the system's, since a
-- view of a wanted schema may show tables of any. Columns are in the key's order.
-- Callers: typegen::metadata.
SELECT coalesce(json_agg(json_build_object(
           'name', keys.conname,
           'kind', keys.contype,
           'schema', namespace.nspname,
           'relation', class.oid::int8,
           'relation_name', class.relname,
           'inherited', keys.conparentid <> 0,
           'columns', (
               SELECT json_agg(json_build_array(attribute.attnum, attribute.attname) ORDER BY part.ord)
                 FROM unnest(keys.conkey) WITH ORDINALITY AS part (number, ord)
                 JOIN pg_catalog.pg_attribute AS attribute
                   ON attribute.attrelid = keys.conrelid AND attribute.attnum = part.number),
           'foreign_relation', keys.confrelid::int8,
           'foreign_schema', foreign_namespace.nspname,
           'foreign_name', foreign_class.relname,
           'foreign_columns', (
               SELECT coalesce(json_agg(json_build_array(attribute.attnum, attribute.attname)
                                        ORDER BY part.ord), '[]')
                 FROM unnest(keys.confkey) WITH ORDINALITY AS part (number, ord)
                 JOIN pg_catalog.pg_attribute AS attribute
                   ON attribute.attrelid = keys.confrelid AND attribute.attnum = part.number))),
       '[]')
  FROM pg_catalog.pg_constraint AS keys
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = keys.connamespace
  JOIN pg_catalog.pg_class AS class ON class.oid = keys.conrelid
  LEFT JOIN pg_catalog.pg_class AS foreign_class ON foreign_class.oid = keys.confrelid
  LEFT JOIN pg_catalog.pg_namespace AS foreign_namespace
    ON foreign_namespace.oid = foreign_class.relnamespace
 WHERE keys.contype IN ('p', 'u', 'f')
   AND namespace.nspname NOT IN ('information_schema', 'pg_catalog', 'pg_toast')
