-- Why: a table with rows of several owners and tenants, functions that write in
-- every way they can, and the wrappers that a project would offer its users.
-- Lock impact: none; the database is new.
create table public.notes (id int primary key, owner uuid default auth.uid(), tenant text);
alter table public.notes enable row level security;
create policy own on public.notes to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
create policy reports on public.notes for select to authenticated
    using (auth.jwt() -> 'scopes' ? 'reports' and tenant = 'all');
insert into public.notes values (1, '11111111-1111-4111-8111-111111111111', 'a'),
    (2, '22222222-2222-4222-8222-222222222222', 'b'), (3, null, 'all');

create role partner nologin;
grant partner to authenticator;
grant usage on schema public to partner;
grant select on public.notes to partner;
create policy partner on public.notes to partner using (tenant = auth.jwt() ->> 'tenant');

create function public.write_note(id int) returns int language sql volatile security definer
    as 'insert into public.notes values ($1) returning id';
create function public.escape(id int) returns int language plpgsql volatile security definer as $$
begin
  perform set_config('transaction_read_only', 'off', true);
  insert into public.notes values (id);
  return id;
end $$;
create function public.count_notes() returns bigint language sql stable security definer
    as 'select count(*) from public.notes';
create function public.seen_headers() returns json language sql stable
    as $$ select current_setting('request.headers')::json $$;

create function public.create_api_key(name text, scopes text[]) returns json language sql volatile
    as $$ select row_to_json(k) from ferrobase_keys.create_key(name, scopes) as k $$;
create function public.my_api_keys() returns setof json language sql stable
    as $$ select row_to_json(k) from ferrobase_keys.my_keys() as k $$;
create function public.revoke_api_key(id uuid) returns boolean language sql volatile
    as $$ select ferrobase_keys.revoke_key(id) $$;
