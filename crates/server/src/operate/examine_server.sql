-- What `ferrobase doctor` asks a server about itself. One row.
-- $1: the extensions that Supabase projects usually want, as an array.
SELECT current_setting('server_version'),
       current_setting('server_version_num'),
       current_setting('wal_level'),
       role.rolsuper,
       role.rolcreaterole,
       has_database_privilege(current_database(), 'CREATE'),
       to_regclass('ferrobase.schema_migrations') IS NOT NULL,
       coalesce((SELECT string_agg(wanted, ', ' ORDER BY wanted)
                   FROM unnest($1::text[]) AS wanted
                  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_available_extensions
                                     WHERE name = wanted)), '')
  FROM pg_catalog.pg_roles AS role
 WHERE role.rolname = current_user
