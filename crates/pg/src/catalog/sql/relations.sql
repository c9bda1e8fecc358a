-- Purpose: everything that can be selected from, as one JSON array. Relations of
-- all schemas are listed because junctions and keys of hidden ones still count;
-- what is costly to find out is found out for exposed schemas only.
-- Partitions are left out: one reaches them through their parent.
-- Parameters: $1 exposed schemas.
-- Callers: catalog::load.
SELECT coalesce(json_agg(relation), '[]')
FROM (
  SELECT
    class.oid::int8 AS id,
    namespace.nspname AS schema,
    class.relname AS name,
    class.relkind AS kind,
    class.relrowsecurity AS rls,
    CASE WHEN namespace.nspname = ANY ($1::text[])
      THEN obj_description(class.oid, 'pg_class')
    END AS description,
    -- A bit mask of 1 << command: 4 is UPDATE, 8 is INSERT, 16 is DELETE.
    CASE WHEN class.relkind IN ('v', 'f') AND namespace.nspname = ANY ($1::text[])
      THEN pg_relation_is_updatable(class.oid, true)
      ELSE 0
    END AS commands
  FROM pg_class AS class
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
  WHERE class.relkind IN ('r', 'v', 'm', 'f', 'p')
    AND NOT class.relispartition
    AND namespace.nspname NOT IN ('pg_catalog', 'information_schema')
    AND NOT pg_is_other_temp_schema(namespace.oid)
) AS relation
