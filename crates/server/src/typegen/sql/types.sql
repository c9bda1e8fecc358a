-- Every type there is, with an enum's labels and a composite type's attributes:
-- a column or an argument may have a type of any schema.
-- Callers: typegen::metadata.
WITH labels AS (
    SELECT enumtypid AS type, json_agg(enumlabel ORDER BY enumsortorder) AS labels
      FROM pg_catalog.pg_enum
     GROUP BY enumtypid
), attributes AS (
    SELECT class.oid AS relation,
           json_agg(json_build_array(attribute.attname, attribute.atttypid::int8)
                    ORDER BY attribute.attnum) AS attributes
      FROM pg_catalog.pg_class AS class
      JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = class.oid
     WHERE class.relkind = 'c' AND NOT attribute.attisdropped
     GROUP BY class.oid
)
SELECT coalesce(json_agg(json_build_object(
           'id', type.oid::int8,
           'schema', namespace.nspname,
           'name', type.typname,
           'formatted', format_type(type.oid, NULL),
           'labels', coalesce(labels.labels, '[]'),
           'attributes', coalesce(attributes.attributes, '[]'),
           'relation', type.typrelid::int8)),
       '[]')
  FROM pg_catalog.pg_type AS type
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = type.typnamespace
  LEFT JOIN pg_catalog.pg_class AS class ON class.oid = type.typrelid
  LEFT JOIN labels ON labels.type = type.oid
  LEFT JOIN attributes ON attributes.relation = type.typrelid
 WHERE type.typrelid = 0 OR class.relkind IN ('c', 'r', 'v', 'm', 'p', 'f')
