-- Purpose: the columns of the relations in exposed schemas, in their order.
-- Types come as OIDs; catalog::types knows what they are called.
-- Parameters: $1 exposed schemas.
-- Callers: catalog::load.
SELECT coalesce(json_agg(attribute), '[]')
FROM (
  SELECT
    attribute.attrelid::int8 AS relation,
    attribute.attname AS name,
    description.description AS description,
    attribute.attnotnull AS not_null,
    attribute.atttypid::int8 AS type,
    attribute.atttypmod AS modifier,
    format_type(attribute.atttypid, attribute.atttypmod) AS nominal_type,
    attribute.attidentity AS identity,
    attribute.attgenerated <> '' AS generated,
    CASE
      WHEN attribute.attidentity = 'd' THEN (
        SELECT format('nextval(%L)', dependency.objid::regclass)
        FROM pg_depend AS dependency
        WHERE dependency.refclassid = 'pg_class'::regclass
          AND dependency.refobjid = attribute.attrelid
          AND dependency.refobjsubid = attribute.attnum
          AND dependency.classid = 'pg_class'::regclass
          AND dependency.deptype = 'i'
        LIMIT 1
      )
      WHEN attribute.attgenerated = '' THEN pg_get_expr(value.adbin, value.adrelid)
    END AS "default"
  FROM pg_attribute AS attribute
  JOIN pg_class AS class ON class.oid = attribute.attrelid
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
  LEFT JOIN pg_attrdef AS value
    ON value.adrelid = attribute.attrelid AND value.adnum = attribute.attnum
  LEFT JOIN pg_description AS description
    ON description.classoid = 'pg_class'::regclass
    AND description.objoid = attribute.attrelid
    AND description.objsubid = attribute.attnum
  WHERE namespace.nspname = ANY ($1::text[])
    AND class.relkind IN ('r', 'v', 'm', 'f', 'p')
    AND NOT class.relispartition
    AND attribute.attnum > 0
    AND NOT attribute.attisdropped
  ORDER BY attribute.attrelid, attribute.attnum
) AS attribute
