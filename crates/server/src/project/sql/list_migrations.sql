-- Purpose: applied project migrations, with a fingerprint of what was run.
-- Callers: server::project::history::applied. Reads the whole table, which has
-- one row per migration file; hashing here keeps the texts off the wire.
SELECT version,
       coalesce(name, ''),
       CASE
           WHEN cardinality(statements) > 0
           THEN encode(sha256(convert_to(translate(array_to_string(statements, ''), E' \n\r\t;', ''), 'UTF8')), 'hex')
       END
FROM supabase_migrations.schema_migrations
ORDER BY version COLLATE "C"
