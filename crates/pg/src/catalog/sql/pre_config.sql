-- Purpose: what a function has just set of the settings $1 (text[], names
-- without `pgrst.`); what nobody has set is left out.
-- Callers: catalog::pre_config.
SELECT name, current_setting('pgrst.' || name, true)
FROM unnest($1::text[]) AS name
WHERE current_setting('pgrst.' || name, true) IS NOT NULL
