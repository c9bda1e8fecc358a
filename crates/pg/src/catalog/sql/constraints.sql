-- Purpose: primary, unique and foreign keys of all schemas, with the numbers and
-- names of their columns in the order of the key.
-- Callers: catalog::load.
SELECT coalesce(json_agg(key), '[]')
FROM (
  SELECT
    constr.conname AS name,
    constr.contype AS kind,
    constr.conrelid::int8 AS relation,
    constr.confrelid::int8 AS foreign_relation,
    -- Keys that a partition inherited speak for the partition only.
    constr.conparentid <> 0 AS inherited,
    (
      SELECT json_agg(json_build_array(attribute.attnum, attribute.attname) ORDER BY part.position)
      FROM unnest(constr.conkey) WITH ORDINALITY AS part (number, position)
      JOIN pg_attribute AS attribute
        ON attribute.attrelid = constr.conrelid AND attribute.attnum = part.number
    ) AS columns,
    (
      SELECT json_agg(json_build_array(attribute.attnum, attribute.attname) ORDER BY part.position)
      FROM unnest(constr.confkey) WITH ORDINALITY AS part (number, position)
      JOIN pg_attribute AS attribute
        ON attribute.attrelid = constr.confrelid AND attribute.attnum = part.number
    ) AS foreign_columns
  FROM pg_constraint AS constr
  WHERE constr.contype IN ('p', 'u', 'f')
    AND constr.conrelid >= 16384
  ORDER BY constr.conrelid, constr.conname
) AS key
