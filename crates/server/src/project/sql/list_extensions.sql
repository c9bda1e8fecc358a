-- Purpose: the extensions that the server has, and whether installing one needs
-- a superuser.
-- Callers: server::project::run. Reads the control files, some milliseconds;
-- only when a migration creates an extension.
SELECT v.name,
       bool_and(v.superuser AND NOT v.trusted)
       AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = v.name)
FROM pg_available_extension_versions AS v
GROUP BY v.name
