-- Purpose: implicit casts by function between a domain and json or text.
-- Callers: catalog::load.
SELECT coalesce(json_agg(representation), '[]')
FROM (
  SELECT
    format_type(source.oid, NULL) AS source,
    format_type(target.oid, NULL) AS target,
    namespace.nspname AS schema,
    proc.proname AS name
  FROM pg_cast AS link
  JOIN pg_type AS source ON source.oid = link.castsource
  JOIN pg_type AS target ON target.oid = link.casttarget
  JOIN pg_proc AS proc ON proc.oid = link.castfunc
  JOIN pg_namespace AS namespace ON namespace.oid = proc.pronamespace
  WHERE link.castcontext = 'i'
    AND link.castmethod = 'f'
    AND has_function_privilege(link.castfunc, 'execute')
    AND (
      source.typtype = 'd' AND target.oid IN ('json'::regtype, 'text'::regtype)
      OR target.typtype = 'd' AND source.oid IN ('json'::regtype, 'text'::regtype)
    )
) AS representation
