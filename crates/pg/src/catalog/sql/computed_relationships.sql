-- Purpose: functions from one row of a relation to rows of a relation, which act
-- as relationships.
-- Callers: catalog::load.
SELECT coalesce(json_agg(computed), '[]')
FROM (
  SELECT
    namespace.nspname AS schema,
    proc.proname AS name,
    source.oid::int8 AS relation,
    target.oid::int8 AS foreign_relation,
    NOT proc.proretset OR proc.prorows = 1 AS to_one
  FROM pg_proc AS proc
  JOIN pg_namespace AS namespace ON namespace.oid = proc.pronamespace
  JOIN pg_class AS source
    ON source.reltype = proc.proargtypes[0] AND source.relkind IN ('r', 'v', 'm', 'f', 'p')
  JOIN pg_class AS target
    ON target.reltype = proc.prorettype AND target.relkind IN ('r', 'v', 'm', 'f', 'p')
  WHERE proc.pronargs = 1
    AND proc.oid >= 16384
) AS computed
