-- Purpose: roles that neither PostgreSQL nor the platform schema made, on a
-- cluster that Ferrobase made for itself (nothing anywhere else).
-- Callers: server::project::reset.
SELECT r.rolname
FROM pg_roles AS r
WHERE r.oid >= 16384
  AND EXISTS (SELECT FROM pg_roles AS me WHERE me.oid = 10 AND me.rolname = 'supabase_admin' AND me.rolname = session_user)
  AND r.rolname NOT IN (
      'anon', 'authenticated', 'service_role', 'authenticator', 'postgres', 'supabase_admin',
      'supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin',
      'supabase_replication_admin', 'supabase_etl_admin', 'supabase_read_only_user',
      'dashboard_user', 'pgbouncer'
  )
