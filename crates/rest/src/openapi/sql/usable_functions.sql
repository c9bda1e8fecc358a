-- Purpose: the functions of a schema that the current role may call at /rpc/.
-- Arguments come as a JSON array of [name, type, has no default, is VARIADIC].
-- They are asked for here, although the catalog knows them, because types are to
-- be named as the caller's search path makes them look.
-- Which functions can be called is decided as in the catalog's routines.sql.
-- Parameters: $1 the schema.
-- Callers: openapi::statements.
SELECT
  proc.proname,
  obj_description(proc.oid, 'pg_proc'),
  proc.provolatile = 'v',
  (
    SELECT json_agg(json_build_array(
      coalesce(argument.name, ''),
      format_type(argument.type, NULL),
      argument.position <= proc.pronargs - proc.pronargdefaults,
      argument.variadic
    ) ORDER BY argument.position)
    FROM (
      -- Output arguments may stand between the others, so positions are
      -- counted again without them.
      SELECT
        given.name,
        given.type,
        coalesce(given.mode = 'v', false) AS variadic,
        row_number() OVER (ORDER BY given.position) AS position
      FROM unnest(
        proc.proargnames,
        coalesce(proc.proallargtypes, proc.proargtypes::oid[]),
        proc.proargmodes
      ) WITH ORDINALITY AS given (name, type, mode, position)
      WHERE coalesce(given.mode, 'i') IN ('i', 'b', 'v')
    ) AS argument
  )
FROM pg_catalog.pg_proc AS proc
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = proc.pronamespace
WHERE namespace.nspname = $1
  AND proc.prokind = 'f'
  AND proc.prorettype <> 'trigger'::regtype
  AND (
    proc.pronargs = 0
    OR proc.proargnames IS NOT NULL
    OR proc.pronargs = 1 AND proc.proargtypes[0] IN (
      'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'text'::regtype, 'xml'::regtype
    )
  )
  AND has_function_privilege(proc.oid, 'EXECUTE')
