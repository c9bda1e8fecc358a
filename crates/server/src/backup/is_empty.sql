-- Purpose: whether nobody has made anything in this database yet. Extensions
-- and what belongs to them may be there.
-- Callers: backup::restore. System catalogs only; no index of ours matters.
SELECT NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname !~ '^pg_'
        AND n.nspname NOT IN ('information_schema', 'public')
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_extension AS e
            WHERE e.extnamespace = n.oid
        )
) AND NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_'
        AND n.nspname <> 'information_schema'
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.objid = c.oid
                AND d.deptype = 'e'
        )
) AND NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'public'
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND d.objid = p.oid
                AND d.deptype = 'e'
        )
)
