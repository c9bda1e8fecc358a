-- The stored queries that say where a view's columns come from: views of the
-- wanted schemas, all that those stand on, and those of the search path. One
-- row each: view, schema, name, whether it is of a wanted schema, whether its
-- columns lead on to keys, whether a wanted view stands on it, its columns'
-- names by their numbers, the query tree.
-- $1: the wanted schemas, $2: the extra search path, both JSON arrays of names.
-- Callers: typegen::metadata.
WITH RECURSIVE stacked (id) AS (
    SELECT class.oid
      FROM pg_catalog.pg_class AS class
      JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
     WHERE class.relkind IN ('v', 'm')
       AND namespace.nspname = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
    UNION
    SELECT depend.refobjid
      FROM stacked
      JOIN pg_catalog.pg_rewrite AS rule ON rule.ev_class = stacked.id AND rule.rulename = '_RETURN'
      JOIN pg_catalog.pg_depend AS depend
        ON depend.classid = 'pg_catalog.pg_rewrite'::regclass
       AND depend.objid = rule.oid
       AND depend.refclassid = 'pg_catalog.pg_class'::regclass
      JOIN pg_catalog.pg_class AS class ON class.oid = depend.refobjid AND class.relkind IN ('v', 'm')
), wanted (schema) AS (
    SELECT jsonb_array_elements_text($1::jsonb)
), followed (schema) AS (
    SELECT schema FROM wanted UNION SELECT jsonb_array_elements_text($2::jsonb)
)
SELECT class.oid::int8,
       namespace.nspname,
       class.relname,
       namespace.nspname IN (SELECT schema FROM wanted),
       namespace.nspname IN (SELECT schema FROM followed),
       class.oid IN (SELECT id FROM stacked),
       (SELECT coalesce(json_object_agg(attnum, attname), '{}')
          FROM pg_catalog.pg_attribute
         WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped),
       rule.ev_action::text
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
  JOIN pg_catalog.pg_rewrite AS rule ON rule.ev_class = class.oid AND rule.rulename = '_RETURN'
 WHERE class.relkind IN ('v', 'm')
   AND (class.oid IN (SELECT id FROM stacked)
        OR namespace.nspname IN (SELECT schema FROM followed))
