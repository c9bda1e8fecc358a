-- Purpose: as role_settings.sql, for PostgreSQL 14, where the right to set a
-- superuser's parameter could not be granted.
-- Callers: catalog::load.
SELECT coalesce(json_agg(setting), '[]')
FROM (
  SELECT
    role.rolname AS role,
    split_part(pair, '=', 1) AS name,
    substr(pair, strpos(pair, '=') + 1) AS value
  FROM pg_roles AS role
  CROSS JOIN LATERAL unnest(role.rolconfig) AS pair
  JOIN pg_settings AS known ON known.name = split_part(pair, '=', 1)
  WHERE role.rolname <> current_user
    AND pg_has_role(role.oid, 'MEMBER')
    AND (
      known.context = 'user'
      OR known.context = 'superuser' AND (SELECT me.rolsuper FROM pg_roles AS me WHERE me.rolname = current_user)
    )
) AS setting
