-- Purpose: the overloads of a function and whether a role may call them.
-- Parameters: $1 the schema, $2 the name, $3 the role.
-- Callers: access::explain.
SELECT json_build_object(
    'schema', namespace.nspname,
    'name', function.proname,
    'signature', format('%I.%I(%s)', namespace.nspname, function.proname,
        pg_get_function_identity_arguments(function.oid)),
    'names', coalesce(to_json(function.proargnames), '[]'),
    'arguments', function.pronargs,
    'owner', owner.rolname,
    'owner_bypasses_rls', owner.rolsuper OR owner.rolbypassrls,
    'security_definer', function.prosecdef,
    'search_path_fixed', EXISTS (
        SELECT FROM unnest(function.proconfig) AS setting WHERE setting LIKE 'search\_path=%'
    ),
    'schema_usage', has_schema_privilege(role.oid, namespace.oid, 'USAGE'),
    'execute', has_function_privilege(role.oid, function.oid, 'EXECUTE')
)::text
FROM pg_catalog.pg_proc AS function
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = function.pronamespace
JOIN pg_catalog.pg_roles AS owner ON owner.oid = function.proowner
JOIN pg_catalog.pg_roles AS role ON role.rolname = $3
WHERE namespace.nspname = $1 AND function.proname = $2
ORDER BY function.oid
