-- Columns of the relations of the wanted schemas. A domain's type is the one
-- below it (one step). pg_column_is_updatable wants both UPDATE and DELETE, so
-- views with an INSTEAD trigger or an unconditional INSTEAD rule for INSERT or
-- UPDATE are asked for apart: those take whole rows.
-- $1: the wanted schemas, as a JSON array of names.
-- Callers: typegen::metadata.
WITH written_by_rows AS (
    SELECT tgrelid AS relation
      FROM pg_catalog.pg_trigger
     WHERE NOT tgisinternal
       AND tgtype & 64 <> 0   -- INSTEAD OF
       AND tgtype & 20 <> 0   -- INSERT or UPDATE
    UNION
    SELECT ev_class
      FROM pg_catalog.pg_rewrite
     WHERE is_instead
       AND ev_type IN ('2', '3')
       AND ev_qual::text = '<>'
)
SELECT coalesce(json_agg(json_build_object(
           'relation', class.oid::int8,
           'number', attribute.attnum,
           'name', attribute.attname,
           'type_name', coalesce(base.typname, type.typname),
           'type_schema', (SELECT nspname FROM pg_catalog.pg_namespace
                            WHERE oid = coalesce(base.typnamespace, type.typnamespace)),
           'nullable', NOT (attribute.attnotnull OR type.typtype = 'd' AND type.typnotnull),
           'said_not_null', coalesce(
               col_description(class.oid, attribute.attnum) ~ '(?n)^\s*@notNull\s*$', false),
           'identity', attribute.attidentity,
           'generated', attribute.attgenerated <> '',
           'has_default', attribute.atthasdef,
           'updatable', class.relkind IN ('v', 'f')
                        AND (class.oid IN (SELECT relation FROM written_by_rows)
                             OR pg_column_is_updatable(class.oid, attribute.attnum, false)))),
       '[]')
  FROM pg_catalog.pg_attribute AS attribute
  JOIN pg_catalog.pg_class AS class ON class.oid = attribute.attrelid
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
  JOIN pg_catalog.pg_type AS type ON type.oid = attribute.atttypid
  LEFT JOIN pg_catalog.pg_type AS base ON type.typtype = 'd' AND base.oid = type.typbasetype
 WHERE namespace.nspname = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
   AND class.relkind IN ('r', 'p', 'f', 'v', 'm')
   AND attribute.attnum > 0
   AND NOT attribute.attisdropped
   AND (pg_has_role(class.relowner, 'USAGE')
        OR has_column_privilege(class.oid, attribute.attnum, 'SELECT, INSERT, UPDATE, REFERENCES'))
