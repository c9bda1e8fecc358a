-- Rows that are there before anybody signs in: a session of a third person, whom no test is.
insert into public.sessions (id, owner, title) values
  ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000cc', 'seeded');

insert into public.messages (session_id, role, content) values
  ('00000000-0000-4000-8000-000000000001', 'user', 'a seeded message');

insert into public.forgotten (id, note) values (1, 'nobody protects this row');
