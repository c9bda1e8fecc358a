-- Purpose: whether anything stored in the database could set response.headers or
-- response.status. Wrong answers must only ever be "yes", so a function counts
-- when it names them or passes a computed name to set_config, and an expression
-- counts when it calls set_config (function 2078) at all.
-- Callers: catalog::load.
SELECT
  EXISTS (
    SELECT FROM pg_proc
    WHERE oid >= 16384
      AND (
        prosrc ~* 'response|set_config\s*\(\s*[^''[:space:]]'
        OR prosqlbody::text LIKE '%:funcid 2078 %'
        OR proconfig::text LIKE '%response.%'
      )
  )
  OR EXISTS (
    SELECT FROM pg_policy
    WHERE concat(polqual::text, polwithcheck::text) LIKE '%:funcid 2078 %'
  )
  OR EXISTS (SELECT FROM pg_rewrite WHERE oid >= 16384 AND ev_action::text LIKE '%:funcid 2078 %')
  OR EXISTS (SELECT FROM pg_attrdef WHERE adbin::text LIKE '%:funcid 2078 %')
  OR EXISTS (SELECT FROM pg_constraint WHERE conbin::text LIKE '%:funcid 2078 %')
  OR EXISTS (SELECT FROM pg_trigger WHERE tgqual::text LIKE '%:funcid 2078 %')
  OR EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text LIKE '%response.%')
