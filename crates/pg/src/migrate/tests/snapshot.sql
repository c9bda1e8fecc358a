-- Purpose: the schema as text, to compare two databases that should be alike.
-- Callers: the upgrade test of pg::migrate.
WITH lines AS (
    SELECT format('schema %s %s %s', n.nspname, n.nspowner::regrole, n.nspacl::text) AS line
    FROM pg_namespace AS n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT format('relation %s.%s %s %s rls=%s acl=%s', n.nspname, c.relname, c.relkind, c.relowner::regrole,
                  c.relrowsecurity, c.relacl::text)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT format('column %s.%s.%s %s %s notnull=%s %s', n.nspname, c.relname, a.attname, a.attnum,
                  format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND a.attnum > 0
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(i.indexrelid))
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_'
    UNION ALL
    SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint AS k
    JOIN pg_namespace AS n ON n.oid = k.connamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND k.contype <> 't'
    UNION ALL
    SELECT format('function %s %s acl=%s %s', p.oid::regprocedure, p.proowner::regrole, p.proacl::text,
                  pg_get_functiondef(p.oid))
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prokind = 'f'
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid))
    FROM pg_trigger AS t
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('event trigger %s %s %s %s %s', e.evtname, e.evtevent, e.evtowner::regrole, e.evtfoid::regprocedure, e.evttags)
    FROM pg_event_trigger AS e
    UNION ALL
    SELECT format('default %s %s %s %s', d.defaclrole::regrole, n.nspname, d.defaclobjtype, d.defaclacl::text)
    FROM pg_default_acl AS d
    JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
    UNION ALL
    SELECT format('extension %s %s', e.extname, e.extnamespace::regnamespace)
    FROM pg_extension AS e
    UNION ALL
    SELECT format('publication %s %s', p.pubname, p.pubowner::regrole)
    FROM pg_publication AS p
    UNION ALL
    SELECT format('comment %s %s', d.classoid::regclass, d.description)
    FROM pg_description AS d
    WHERE d.objoid >= 16384
    UNION ALL
    SELECT format('setting %s %s', s.setrole::regrole, s.setconfig::text)
    FROM pg_db_role_setting AS s
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    UNION ALL
    SELECT format('exposed %s', e.name) FROM ferrobase.exposed_schemas AS e
)
SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM lines
