-- One public list with three todos, so that the example in README.md has something to read.
-- Nobody owns the list: only the service key can change it.

with list as (
  insert into public.lists (owner, name, public) values (null, 'Ferrobase', true) returning id
)
insert into public.todos (list_id, title, done)
select list.id, todo.title, todo.done
from list, (values
  ('Start it', true),
  ('Read it with supabase-js', false),
  ('Change a migration', false)
) as todo (title, done);
