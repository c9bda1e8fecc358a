-- Purpose: grants, row level security, policies and what a view stands on, as
-- they are for a role. Run with an empty search path, so that expressions are
-- printed with every name qualified.
-- Parameters: $1 a JSON array of {"schema", "name", "role"}.
-- Callers: access::explain. Expected index: pg_class_relname_nsp_index.
SELECT json_build_object(
    'schema', namespace.nspname,
    'name', class.relname,
    'role', role.rolname,
    'kind', class.relkind,
    'owner', owner.rolname,
    'owned', pg_has_role(role.oid, class.relowner, 'USAGE'),
    'bypasses_rls', role.rolsuper OR role.rolbypassrls,
    'schema_usage', has_schema_privilege(role.oid, namespace.oid, 'USAGE'),
    'privileges', json_build_object(
        'select', has_table_privilege(role.oid, class.oid, 'SELECT'),
        'insert', has_table_privilege(role.oid, class.oid, 'INSERT'),
        'update', has_table_privilege(role.oid, class.oid, 'UPDATE'),
        'delete', has_table_privilege(role.oid, class.oid, 'DELETE')
    ),
    'columns', (
        SELECT coalesce(json_agg(json_build_object(
            'name', attribute.attname,
            'type', format_type(attribute.atttypid, NULL),
            'select', has_column_privilege(role.oid, class.oid, attribute.attnum, 'SELECT'),
            'insert', has_column_privilege(role.oid, class.oid, attribute.attnum, 'INSERT'),
            'update', has_column_privilege(role.oid, class.oid, attribute.attnum, 'UPDATE'),
            'generated', attribute.attgenerated <> '',
            'identity', attribute.attidentity <> '',
            'default', CASE WHEN attribute.attgenerated = '' THEN pg_get_expr(def.adbin, def.adrelid) END
        ) ORDER BY attribute.attnum), '[]')
        FROM pg_catalog.pg_attribute AS attribute
        LEFT JOIN pg_catalog.pg_attrdef AS def
            ON def.adrelid = attribute.attrelid AND def.adnum = attribute.attnum
        WHERE attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
    ),
    'rls', class.relrowsecurity,
    'forced', class.relforcerowsecurity,
    'policies', (
        SELECT coalesce(json_agg(json_build_object(
            'name', policy.polname,
            'permissive', policy.polpermissive,
            'command', CASE policy.polcmd
                WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                WHEN 'd' THEN 'delete' ELSE 'all' END,
            'roles', (
                SELECT json_agg(CASE WHEN member = 0 THEN 'public' ELSE pg_get_userbyid(member) END)
                FROM unnest(policy.polroles) AS member
            ),
            'applies', EXISTS (
                SELECT FROM unnest(policy.polroles) AS member
                WHERE member = 0 OR pg_has_role(role.oid, member, 'USAGE')
            ),
            'using', pg_get_expr(policy.polqual, policy.polrelid),
            'check', pg_get_expr(policy.polwithcheck, policy.polrelid)
        ) ORDER BY policy.polname), '[]')
        FROM pg_catalog.pg_policy AS policy
        WHERE policy.polrelid = class.oid
    ),
    'security_invoker', EXISTS (
        SELECT FROM pg_catalog.pg_options_to_table(class.reloptions) AS option
        WHERE option.option_name = 'security_invoker' AND option.option_value::boolean
    ),
    'stands_on', (
        SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
            'schema', below_namespace.nspname, 'name', below.relname
        )), '[]')
        FROM pg_catalog.pg_rewrite AS rule
        JOIN pg_catalog.pg_depend AS dependency
            ON dependency.classid = 'pg_catalog.pg_rewrite'::regclass AND dependency.objid = rule.oid
        JOIN pg_catalog.pg_class AS below ON below.oid = dependency.refobjid
        JOIN pg_catalog.pg_namespace AS below_namespace ON below_namespace.oid = below.relnamespace
        WHERE class.relkind IN ('v', 'm')
          AND rule.ev_class = class.oid
          AND dependency.refclassid = 'pg_catalog.pg_class'::regclass
          AND below.oid <> class.oid
          AND below.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND below_namespace.nspname <> 'pg_catalog'
    ),
    'triggers', (
        -- Row triggers that run before: they may change what is written.
        SELECT coalesce(json_agg(json_build_object(
            'name', tgname,
            'insert', tgtype & 4 <> 0,
            'update', tgtype & 16 <> 0
        ) ORDER BY tgname), '[]')
        FROM pg_catalog.pg_trigger
        WHERE tgrelid = class.oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 3 = 3
    )
)::text
FROM json_array_elements($1::json) WITH ORDINALITY AS asked (target, position)
JOIN pg_catalog.pg_namespace AS namespace ON namespace.nspname = asked.target ->> 'schema'
JOIN pg_catalog.pg_class AS class
    ON class.relnamespace = namespace.oid AND class.relname = asked.target ->> 'name'
JOIN pg_catalog.pg_roles AS owner ON owner.oid = class.relowner
JOIN pg_catalog.pg_roles AS role ON role.rolname = asked.target ->> 'role'
WHERE class.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY asked.position
