-- Purpose: whether anything stored in the database could read request.headers,
-- request.cookies, request.method or request.path. Wrong answers must only ever
-- be "yes": a function counts when it names one of them, passes a computed name
-- to current_setting, builds such a name, or is in a language that we cannot
-- read; an expression that calls current_setting (functions 2077 and 3294) counts
-- unless it is a policy whose text names none of them.
-- Callers: catalog::load.
SELECT
  EXISTS (
    SELECT FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.oid >= 16384
      AND (
        p.prosrc ~* 'request\.(headers|cookies|method|path)|''request\.''|current_setting\s*\(\s*[^''[:space:]]'
        OR p.prosqlbody::text ~ ':funcid (2077|3294) '
        OR l.lanname NOT IN ('sql', 'plpgsql', 'internal', 'c')
      )
      AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
      )
  )
  OR EXISTS (
    SELECT FROM pg_policy
    WHERE concat(polqual::text, polwithcheck::text) ~ ':funcid (2077|3294) '
      AND concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        ~* 'request\.(headers|cookies|method|path)|current_setting\(\s*[^''[:space:]]'
  )
  OR EXISTS (SELECT FROM pg_rewrite WHERE oid >= 16384 AND ev_action::text ~ ':funcid (2077|3294) ')
  OR EXISTS (SELECT FROM pg_attrdef WHERE adbin::text ~ ':funcid (2077|3294) ')
  OR EXISTS (SELECT FROM pg_constraint WHERE conbin::text ~ ':funcid (2077|3294) ')
  OR EXISTS (SELECT FROM pg_trigger WHERE tgqual::text ~ ':funcid (2077|3294) ')
