-- Purpose: ALTER ROLE … SET of the roles that the current user may become (all of
-- them for a superuser), as far as it may set them itself; and their isolation
-- levels. What can be set at login only is left out: it cannot be set here.
-- Callers: catalog::load, from PostgreSQL 15 on.
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
      OR known.context = 'superuser' AND has_parameter_privilege(known.name, 'SET')
    )
) AS setting
