-- Purpose: the in-database configuration: ALTER ROLE <current user> [IN DATABASE
-- <this>] SET pgrst.<name>. What is set for this database wins.
-- Callers: catalog::role_config.
SELECT DISTINCT ON (name)
  substr(split_part(pair, '=', 1), length('pgrst.') + 1) AS name,
  substr(pair, strpos(pair, '=') + 1) AS value
FROM pg_db_role_setting AS setting
CROSS JOIN LATERAL unnest(setting.setconfig) AS pair
WHERE setting.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND setting.setdatabase IN (
    0, (SELECT oid FROM pg_database WHERE datname = current_database())
  )
  AND pair LIKE 'pgrst.%'
ORDER BY name, setting.setdatabase DESC
