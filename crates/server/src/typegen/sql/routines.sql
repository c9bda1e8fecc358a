-- Functions of the wanted schemas, without triggers. Defaults are counted from
-- the last input argument; the modes are absent when all arguments are inputs.
-- $1: the wanted schemas, as a JSON array of names.
-- Callers: typegen::metadata.
SELECT coalesce(json_agg(json_build_object(
           'id', routine.oid::int8,
           'schema', namespace.nspname,
           'name', routine.proname,
           'arguments', (
               SELECT coalesce(json_agg(json_build_object(
                          'mode', coalesce(routine.proargmodes[argument.ord], 'i'),
                          'name', coalesce(routine.proargnames[argument.ord], ''),
                          'type_id', argument.type::int8,
                          'has_default', argument.ord <= routine.pronargs
                              AND argument.ord > routine.pronargs - routine.pronargdefaults)
                      ORDER BY argument.ord), '[]')
                 FROM unnest(coalesce(routine.proallargtypes, routine.proargtypes))
                      WITH ORDINALITY AS argument (type, ord)),
           'signature', pg_get_function_arguments(routine.oid),
           'result', pg_get_function_result(routine.oid),
           'returns', routine.prorettype::int8,
           'returns_relation', result.typrelid::int8,
           'returns_set', routine.proretset,
           'many', routine.proretset AND routine.prorows > 1)),
       '[]')
  FROM pg_catalog.pg_proc AS routine
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = routine.pronamespace
  JOIN pg_catalog.pg_type AS result ON result.oid = routine.prorettype
 WHERE namespace.nspname = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
   AND routine.prokind = 'f'
   AND pg_get_function_result(routine.oid) NOT IN ('trigger', 'event_trigger')
