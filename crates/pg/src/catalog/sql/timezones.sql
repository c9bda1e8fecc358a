-- Purpose: the names accepted by SET timezone. Postgres reads its whole folder of
-- zone files for this, which takes about 100 ms; so only when first needed.
-- Callers: catalog::load_timezones.
SELECT name FROM pg_timezone_names
