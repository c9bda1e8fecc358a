-- Purpose: ALTER ROLE … SET of the roles that the current user may become, as far
-- as it may set them itself; and their isolation levels.
-- Callers: catalog::load.
SELECT coalesce(json_agg(setting), '[]')
FROM (
  SELECT
    role.rolname AS role,
    split_part(pair, '=', 1) AS name,
    substr(pair, strpos(pair, '=') + 1) AS value
  FROM pg_auth_members AS membership
  JOIN pg_roles AS role ON role.oid = membership.roleid
  CROSS JOIN LATERAL unnest(role.rolconfig) AS pair
  JOIN pg_settings AS known ON known.name = split_part(pair, '=', 1)
  WHERE membership.member = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    AND (known.context = 'user' OR has_parameter_privilege(known.name, 'SET'))
) AS setting
