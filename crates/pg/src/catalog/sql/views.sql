-- Purpose: the stored query of every view and materialized view whose columns
-- can lead to a key: one row each of view, query tree. Rules other than the
-- view's own SELECT do not matter here.
-- Parameters: $1 exposed schemas, $2 extra search path.
-- Callers: catalog::load.
SELECT class.oid::int8, rule.ev_action::text
FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_rewrite AS rule ON rule.ev_class = class.oid AND rule.ev_type = '1'
WHERE class.relkind IN ('v', 'm')
  AND namespace.nspname = ANY ($1::text[] || $2::text[])
