-- Purpose: names and nature of the types that columns and functions may use.
-- Names are as format_type writes them under an empty search path.
-- Callers: catalog::load.
SELECT coalesce(json_agg(type), '[]')
FROM (
  SELECT
    type.oid::int8 AS id,
    namespace.nspname AS schema,
    type.typname AS name,
    format_type(type.oid, NULL) AS formatted,
    type.typtype AS kind,
    type.typcategory AS category,
    type.typbasetype::int8 AS base,
    type.typtypmod AS modifier,
    type.typnotnull AS not_null,
    CASE WHEN type.typtype = 'd' THEN pg_get_expr(type.typdefaultbin, 0) END AS "default",
    labels.labels,
    -- Only casts by function of types made after initdb change what to_json does.
    json_cast.castsource IS NOT NULL AS json_cast
  FROM pg_type AS type
  JOIN pg_namespace AS namespace ON namespace.oid = type.typnamespace
  LEFT JOIN (
    SELECT enumtypid, json_agg(enumlabel ORDER BY enumsortorder) AS labels
    FROM pg_enum
    GROUP BY enumtypid
  ) AS labels ON labels.enumtypid = type.oid
  LEFT JOIN pg_cast AS json_cast
    ON json_cast.castsource = type.oid
    AND json_cast.casttarget = 'json'::regtype
    AND json_cast.castmethod = 'f'
    AND type.oid >= 16384
  WHERE namespace.nspname <> 'pg_toast'
) AS type
