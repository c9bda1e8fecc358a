-- Purpose: the functions of these schemas that roles may call.
-- Parameters: $1 the schemas, $2 the roles, both arrays. Callers: access::report.
SELECT json_build_object(
    'role', role.rolname,
    'function', format('%I.%I(%s)', namespace.nspname, function.proname,
        pg_get_function_identity_arguments(function.oid)),
    'security', CASE WHEN function.prosecdef THEN 'definer' ELSE 'invoker' END,
    'owner', owner.rolname,
    'volatile', function.provolatile = 'v',
    'search_path_fixed', EXISTS (
        SELECT FROM unnest(function.proconfig) AS setting WHERE setting LIKE 'search\_path=%'
    ),
    'extension', (
        SELECT extension.extname
        FROM pg_catalog.pg_depend AS dependency
        JOIN pg_catalog.pg_extension AS extension ON extension.oid = dependency.refobjid
        WHERE dependency.classid = 'pg_catalog.pg_proc'::regclass
          AND dependency.objid = function.oid
          AND dependency.deptype = 'e'
    )
)::text
FROM pg_catalog.pg_proc AS function
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = function.pronamespace
JOIN pg_catalog.pg_roles AS owner ON owner.oid = function.proowner
JOIN pg_catalog.pg_roles AS role ON role.rolname = ANY ($2::text[])
WHERE namespace.nspname = ANY ($1::text[])
  AND function.prokind = 'f'
  AND function.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND has_schema_privilege(role.oid, namespace.oid, 'USAGE')
  AND has_function_privilege(role.oid, function.oid, 'EXECUTE')
ORDER BY role.rolname, namespace.nspname, function.proname, function.oid
