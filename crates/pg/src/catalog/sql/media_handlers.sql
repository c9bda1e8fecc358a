-- Purpose: aggregates and functions that return a domain named like a media type.
-- An aggregate serves the relation whose row type it takes, or all of them when
-- it takes anyelement; a function serves its own results.
-- Parameters: $1 exposed schemas.
-- Callers: catalog::load.
SELECT coalesce(json_agg(handler), '[]')
FROM (
  SELECT DISTINCT
    namespace.nspname AS schema,
    proc.proname AS name,
    domain_namespace.nspname AS domain_schema,
    domain.typname AS domain_name,
    proc.prokind = 'f' AS is_routine,
    argument_namespace.nspname AS relation_schema,
    argument.typname AS relation_name
  FROM pg_type AS domain
  JOIN pg_namespace AS domain_namespace ON domain_namespace.oid = domain.typnamespace
  JOIN pg_proc AS proc ON proc.prorettype = domain.oid
  JOIN pg_namespace AS namespace ON namespace.oid = proc.pronamespace
  LEFT JOIN pg_type AS argument
    ON proc.prokind = 'a' AND argument.oid = proc.proargtypes[0]
  LEFT JOIN pg_namespace AS argument_namespace
    ON argument_namespace.oid = argument.typnamespace
  LEFT JOIN pg_class AS class ON class.oid = argument.typrelid
  WHERE domain.typtype = 'd'
    AND (domain.typname ~* '^[a-z0-9.-]+/[a-z0-9.\+-]+$' OR domain.typname = '*/*')
    AND namespace.nspname = ANY ($1::text[])
    AND (
      proc.prokind = 'f' AND NOT proc.proretset
      OR proc.prokind = 'a' AND proc.pronargs = 1 AND (
        argument.oid = 'anyelement'::regtype
        OR class.relkind IN ('r', 'v', 'm', 'f', 'p')
      )
    )
) AS handler
