-- Purpose: whether anything stored in the database could change a setting beyond
-- its transaction. Wrong answers must only ever be "yes": a function counts when
-- its text calls set_config, begins a statement or a string with SET or RESET, or
-- is in a language that we cannot read; an expression counts when it calls
-- set_config (function 2078). An UPDATE whose SET begins a line counts as well.
-- Functions of our own schemas set nothing beyond a transaction, and no other role may add one there.
-- Callers: catalog::load.
SELECT
  EXISTS (
    SELECT FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.oid >= 16384
      AND p.pronamespace <> ALL (ARRAY(
        SELECT oid FROM pg_namespace WHERE nspname IN ('ferrobase', 'work', 'work_engine', 'storage_engine', 'ai_engine')
      ))
      AND (
        p.prosrc ~* 'set_config|(^|[;\n'']|begin|then|else|loop)\s*(re)?set\s'
        -- Dynamic SQL that has the word at all, wherever it stands.
        OR (p.prosrc ~* 'execute' AND p.prosrc ~* '\m(re)?set\M')
        OR p.prosqlbody::text LIKE '%:funcid 2078 %'
        OR l.lanname NOT IN ('sql', 'plpgsql', 'internal', 'c')
      )
      AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
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
