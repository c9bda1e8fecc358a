-- Purpose: the functions of the exposed schemas that can be called by name.
-- A function whose arguments have no names can be called only when it has none,
-- or one that takes the whole request body.
-- Parameters: $1 exposed schemas, $2 patterns of settings to hoist.
-- Callers: catalog::load.
SELECT coalesce(json_agg(routine), '[]')
FROM (
  SELECT
    namespace.nspname AS schema,
    proc.proname AS name,
    obj_description(proc.oid, 'pg_proc') AS description,
    proc.prorettype::int8 AS returns,
    proc.proretset AS returns_set,
    coalesce(proc.proargmodes::text[] && '{t,b,o}', false) AS returns_columns,
    proc.provolatile AS volatility,
    proc.pronargs - proc.pronargdefaults AS required,
    (
      SELECT json_agg(json_build_array(
        coalesce(argument.name, ''),
        argument.type::int8,
        coalesce(argument.mode = 'v', false)
      ) ORDER BY argument.position)
      FROM unnest(
        proc.proargnames,
        coalesce(proc.proallargtypes, proc.proargtypes::oid[]),
        proc.proargmodes
      ) WITH ORDINALITY AS argument (name, type, mode, position)
      WHERE coalesce(argument.mode, 'i') IN ('i', 'b', 'v')
    ) AS params,
    (
      SELECT json_agg(json_build_array(
        substr(setting, 1, strpos(setting, '=') - 1),
        substr(setting, strpos(setting, '=') + 1)
      ))
      FROM unnest(proc.proconfig) AS setting
      WHERE setting ~ ANY ($2::text[])
        -- The isolation level counts always: it must be known before BEGIN.
        OR setting LIKE 'default\_transaction\_isolation=%'
    ) AS settings
  FROM pg_proc AS proc
  JOIN pg_namespace AS namespace ON namespace.oid = proc.pronamespace
  WHERE namespace.nspname = ANY ($1::text[])
    AND proc.prokind = 'f'
    AND proc.prorettype <> 'trigger'::regtype
    AND (
      proc.pronargs = 0
      OR proc.proargnames IS NOT NULL
      OR proc.pronargs = 1 AND proc.proargtypes[0] IN (
        'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'text'::regtype, 'xml'::regtype
      )
    )
) AS routine
