-- Where the official CLI's types are wrong and ours are right on purpose; each
-- is told in tests/clients/types/known-differences.txt.
-- Callers: xtask/src/types.rs.
create schema unseen;
create type unseen.hidden as enum ('one', 'two');
create function set_of_hidden() returns setof unseen.hidden language sql as 'select null::unseen.hidden';
create schema "Quoted Schema";
create table "Quoted Schema".parents (id int primary key);
create table "Quoted Schema".children (id int primary key, parent int unique references "Quoted Schema".parents);
