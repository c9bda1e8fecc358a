-- Open Lovable's eight tables: chat sessions, what was said, and the work that came of it.
-- Differs from the original in two ways: a session has an owner, and the policies (next file)
-- ask for it instead of letting everybody in.

create extension if not exists "uuid-ossp";
create extension if not exists pgcrypto;

create table public.sessions (
  id uuid primary key default uuid_generate_v4(),
  owner uuid not null default auth.uid(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  title text,
  status text not null default 'active' check (status in ('active', 'archived', 'deleted')),
  metadata jsonb not null default '{}'
);

create table public.messages (
  id uuid primary key default uuid_generate_v4(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  role text not null check (role in ('user', 'assistant', 'system')),
  content text not null,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

create table public.jobs (
  id uuid primary key default uuid_generate_v4(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  type text not null check (type in ('scrape', 'plan', 'generate', 'apply', 'install', 'restart', 'zip')),
  state text not null default 'queued'
    check (state in ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
  input jsonb not null,
  output jsonb not null default '{}',
  error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  parent_job_id uuid references public.jobs (id) on delete set null
);

create table public.tasks (
  id uuid primary key default uuid_generate_v4(),
  job_id uuid not null references public.jobs (id) on delete cascade,
  name text not null,
  state text not null default 'pending' check (state in ('pending', 'running', 'completed', 'failed')),
  logs text[] not null default '{}',
  started_at timestamptz,
  finished_at timestamptz
);

create table public.artifacts (
  id uuid primary key default uuid_generate_v4(),
  job_id uuid not null references public.jobs (id) on delete cascade,
  type text not null check (type in ('code', 'zip', 'log', 'analysis', 'screenshot')),
  uri text not null,
  size bigint not null default 0,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

create table public.sandboxes (
  id uuid primary key default uuid_generate_v4(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  sandbox_id text not null,
  url text not null,
  status text not null default 'active' check (status in ('active', 'stopped', 'error')),
  last_seen_at timestamptz not null default now(),
  metadata jsonb not null default '{}'
);

create table public.tool_runs (
  id uuid primary key default uuid_generate_v4(),
  job_id uuid not null references public.jobs (id) on delete cascade,
  tool text not null,
  input jsonb not null,
  output jsonb not null default '{}',
  error text,
  created_at timestamptz not null default now(),
  duration_ms integer not null default 0
);

create table public.checkpoints (
  id uuid primary key default uuid_generate_v4(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  label text not null,
  snapshot_ref text not null,
  created_at timestamptz not null default now(),
  metadata jsonb not null default '{}'
);

create index sessions_owner on public.sessions (owner);
create index messages_session on public.messages (session_id);
create index messages_created on public.messages (created_at);
create index jobs_session on public.jobs (session_id);
create index jobs_state on public.jobs (state);
create index jobs_type on public.jobs (type);
create index jobs_created on public.jobs (created_at);
create index tasks_job on public.tasks (job_id);
create index artifacts_job on public.artifacts (job_id);
create index sandboxes_session on public.sandboxes (session_id);
create index sandboxes_sandbox on public.sandboxes (sandbox_id);
create index tool_runs_job on public.tool_runs (job_id);
create index checkpoints_session on public.checkpoints (session_id);

create function public.update_updated_at_column() returns trigger
language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end;
$$;

create trigger sessions_updated_at before update on public.sessions
for each row execute function public.update_updated_at_column();

create trigger jobs_updated_at before update on public.jobs
for each row execute function public.update_updated_at_column();
