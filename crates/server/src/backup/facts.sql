-- Purpose: what a manifest says about the database as a whole.
-- Callers: backup::snapshot. System catalogs only; no index of ours matters.
SELECT pg_catalog.current_database(),
       pg_catalog.pg_database_size(pg_catalog.current_database())::text,
       pg_catalog.current_setting('server_version_num'),
       pg_catalog.to_regclass('ferrobase.schema_migrations') IS NOT NULL,
       pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
       (
           SELECT coalesce(pg_catalog.json_agg(
               e.extname || ' ' || e.extversion ORDER BY e.extname
           ), '[]')::text
           FROM pg_catalog.pg_extension AS e
       ),
       (
           SELECT coalesce(pg_catalog.json_agg(r.rolname ORDER BY r.rolname), '[]')::text
           FROM pg_catalog.pg_roles AS r
           WHERE r.rolname !~ '^pg_'
       )
