-- Columns that cannot be NULL, of the relations that any view stands on.
-- Callers: typegen::metadata.
SELECT coalesce(json_agg(json_build_array(attribute.attrelid::int8, attribute.attnum)), '[]')
  FROM pg_catalog.pg_attribute AS attribute
  JOIN pg_catalog.pg_type AS type ON type.oid = attribute.atttypid
 WHERE attribute.attnum > 0
   AND (attribute.attnotnull OR type.typtype = 'd' AND type.typnotnull)
   AND attribute.attrelid IN (
       SELECT depend.refobjid
         FROM pg_catalog.pg_rewrite AS rule
         JOIN pg_catalog.pg_class AS class ON class.oid = rule.ev_class
         JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
         JOIN pg_catalog.pg_depend AS depend
           ON depend.classid = 'pg_catalog.pg_rewrite'::regclass
          AND depend.objid = rule.oid
          AND depend.refclassid = 'pg_catalog.pg_class'::regclass
        WHERE namespace.nspname NOT IN ('information_schema', 'pg_catalog'))
