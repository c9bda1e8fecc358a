-- Every row belongs to the owner of its session. `(select auth.uid())` is evaluated once per
-- statement instead of once per row; `with check` keeps rows from being handed to somebody else.

alter table public.sessions enable row level security;
alter table public.messages enable row level security;
alter table public.jobs enable row level security;
alter table public.tasks enable row level security;
alter table public.artifacts enable row level security;
alter table public.sandboxes enable row level security;
alter table public.tool_runs enable row level security;
alter table public.checkpoints enable row level security;

create policy "own sessions" on public.sessions for all to authenticated
using (owner = (select auth.uid()))
with check (owner = (select auth.uid()));

create policy "messages of own sessions" on public.messages for all to authenticated
using (session_id in (select id from public.sessions where owner = (select auth.uid())))
with check (session_id in (select id from public.sessions where owner = (select auth.uid())));

create policy "jobs of own sessions" on public.jobs for all to authenticated
using (session_id in (select id from public.sessions where owner = (select auth.uid())))
with check (session_id in (select id from public.sessions where owner = (select auth.uid())));

create policy "sandboxes of own sessions" on public.sandboxes for all to authenticated
using (session_id in (select id from public.sessions where owner = (select auth.uid())))
with check (session_id in (select id from public.sessions where owner = (select auth.uid())));

create policy "checkpoints of own sessions" on public.checkpoints for all to authenticated
using (session_id in (select id from public.sessions where owner = (select auth.uid())))
with check (session_id in (select id from public.sessions where owner = (select auth.uid())));

create policy "tasks of own jobs" on public.tasks for all to authenticated
using (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
)
with check (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
);

create policy "artifacts of own jobs" on public.artifacts for all to authenticated
using (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
)
with check (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
);

create policy "tool runs of own jobs" on public.tool_runs for all to authenticated
using (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
)
with check (
  job_id in (
    select jobs.id from public.jobs
    join public.sessions on sessions.id = jobs.session_id
    where sessions.owner = (select auth.uid())
  )
);
