-- Purpose: whether the current role may see every row anyway, so that an
-- explanation tells it nothing new.
-- Callers: access::admit.
SELECT rolsuper OR rolbypassrls
FROM pg_catalog.pg_roles
WHERE rolname = current_user
