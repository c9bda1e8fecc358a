-- What the suites call by name, and one table that its author forgot to protect.

create function public.session_summary(session uuid)
returns table (messages bigint, jobs bigint)
language sql stable
as $$
  select
    (select count(*) from public.messages where session_id = session),
    (select count(*) from public.jobs where session_id = session);
$$;

create function public.add_up(a integer, b integer) returns integer
language sql immutable
as $$ select a + b $$;

create function public.who_am_i() returns json
language sql stable
as $$ select json_build_object('uid', auth.uid(), 'role', auth.role(), 'email', auth.email()) $$;

-- Without row-level security on purpose: Ferrobase has to close it to `anon` and say so at start.
create table public.forgotten (
  id integer primary key,
  note text not null
);
