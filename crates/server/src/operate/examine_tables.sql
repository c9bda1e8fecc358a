-- Tables of the exposed schemas without row level security, for
-- `ferrobase doctor`, which only looks: closing them is the start's work.
-- $1: the exposed schemas, as an array.
SELECT format('%I.%I', namespace.nspname, class.relname)
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE namespace.nspname = ANY ($1::text[])
   AND class.relkind IN ('r', 'p')
   AND NOT class.relrowsecurity
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS depend
                    WHERE depend.objid = class.oid
                      AND depend.classid = 'pg_catalog.pg_class'::regclass
                      AND depend.deptype = 'e')
 ORDER BY 1
 LIMIT 50
