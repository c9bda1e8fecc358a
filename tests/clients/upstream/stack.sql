-- Purpose: what postgrest-js' own stack has and its migrations therefore do not
-- say. Applied behind them, as the project's last migration.
-- Callers: cargo xtask clients-upstream.

-- Its tables have no row level security, and its tests have no key: open to
-- anon on purpose.
do $$
declare
    relation regclass;
begin
    for relation in
        select oid
        from pg_class
        where relnamespace in ('public'::regnamespace, 'personal'::regnamespace)
          and relkind in ('r', 'p')
    loop
        execute format('comment on table %s is %L', relation, '@ferrobase.public');
    end loop;
end $$;

-- One snapshot lists the planner's settings that are not PostgreSQL's own
-- defaults; its image has this one and none of ours.
alter role authenticator set effective_cache_size = '128MB';
alter role authenticator set jit = 'on';
alter role authenticator set max_parallel_workers = '8';
alter role authenticator set max_parallel_workers_per_gather = '2';
alter role authenticator set random_page_cost = '4';
