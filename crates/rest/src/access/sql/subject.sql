-- Purpose: what the database knows about the role whose access is explained.
-- Parameters: $1 the role, $2 its claims.
-- Callers: access::explain.
SELECT json_build_object(
    'superuser', role.rolsuper,
    'bypasses_rls', role.rolsuper OR role.rolbypassrls,
    'reachable', pg_has_role(session_user, role.oid, 'MEMBER'),
    'login', session_user,
    'member_of', (
        SELECT coalesce(json_agg(other.rolname ORDER BY other.rolname), '[]')
        FROM pg_catalog.pg_roles AS other
        WHERE NOT role.rolsuper AND other.oid <> role.oid AND pg_has_role(role.oid, other.oid, 'USAGE')
    ),
    'expired', coalesce(to_timestamp(($2::json ->> 'exp')::double precision) < now(), false)
)::text
FROM pg_catalog.pg_roles AS role
WHERE role.rolname = $1
