-- Purpose: everything about roles that no archive of a database holds, and what
-- is set for the database itself. Passwords are asked for separately: only a
-- superuser may.
-- Callers: backup::secrets. System catalogs only; no index of ours matters.
SELECT pg_catalog.json_build_object(
    'each', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', r.rolname,
            'superuser', r.rolsuper,
            'inherit', r.rolinherit,
            'makes_roles', r.rolcreaterole,
            'makes_databases', r.rolcreatedb,
            'login', r.rolcanlogin,
            'replication', r.rolreplication,
            'bypass_rls', r.rolbypassrls,
            'connections', r.rolconnlimit,
            'valid_until', r.rolvaliduntil::text
        ) ORDER BY r.rolname), '[]')
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname !~ '^pg_'
    ),
    'members', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'role', r.rolname,
            'who', m.rolname,
            'admin', a.admin_option,
            'inherit', pg_catalog.to_jsonb(a) -> 'inherit_option',
            'set', pg_catalog.to_jsonb(a) -> 'set_option'
        ) ORDER BY r.rolname, m.rolname), '[]')
        FROM pg_catalog.pg_auth_members AS a
        JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid
        JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
        WHERE m.rolname !~ '^pg_'
    ),
    'settings', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'role', r.rolname,
            'of_database', s.setdatabase <> 0,
            'name', pg_catalog.split_part(one, '=', 1),
            'value', pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1)
        ) ORDER BY r.rolname, one), '[]')
        FROM pg_catalog.pg_db_role_setting AS s
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        CROSS JOIN pg_catalog.unnest(s.setconfig) AS one
        WHERE s.setdatabase = 0
            OR s.setdatabase = (
                SELECT d.oid
                FROM pg_catalog.pg_database AS d
                WHERE d.datname = pg_catalog.current_database()
            )
    ),
    'rights', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'role', r.rolname,
            'word', a.privilege_type,
            'grantable', a.is_grantable
        ) ORDER BY r.rolname, a.privilege_type), '[]')
        FROM pg_catalog.pg_database AS d
        CROSS JOIN pg_catalog.aclexplode(d.datacl) AS a
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
        WHERE d.datname = pg_catalog.current_database()
    )
)::text
