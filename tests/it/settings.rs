//! Settings that are kept in the database, by those who may keep them there:
//! a project's migrations and the function of `db.pre_config`.

use std::time::{Duration, Instant};

use crate::support::{Answer, Ferrobase, project, run, write};

/// Reading settings or a catalog again takes milliseconds; a busy machine
/// takes longer.
const RELOAD_MAX: Duration = Duration::from_secs(30);

const SETTINGS: &str = r#"
[db]
pre_config = "private.settings"
channel = "Our news"
[rest]
at_root = true
legacy_target_names = false
"#;

const MIGRATION: &str = "
create table public.notes (id int primary key, parent int references public.notes, text text);
comment on table public.notes is '@ferrobase.public';
insert into public.notes values (1, null, 'one'), (2, 1, 'two'), (3, 1, 'three');
create schema private;
grant usage on schema private to authenticator;
create function private.settings() returns void language plpgsql as $$
begin
    perform set_config('pgrst.db_max_rows', '2', true);
    perform set_config('pgrst.db_aggregates_enabled', 'false', true);
end $$;
alter role authenticator set pgrst.db_aggregates_enabled = 'true';
";

const LATER: &str = "
create table public.later (id int primary key);
comment on table public.later is '@ferrobase.public';
create or replace function private.settings() returns void language plpgsql as $$
begin
    perform set_config('pgrst.db_max_rows', '1', true);
end $$;
alter role authenticator set pgrst.db_aggregates_enabled = 'false';
notify \"Our news\", 'reload config';
";

fn ids(answer: &Answer) -> Vec<i64> {
    let rows = answer.json();
    let rows = rows.as_array().unwrap_or_else(|| panic!("{answer:?}"));
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn the_database_says_how_its_api_behaves() {
    let folder = project(&[
        ("ferrobase.toml", SETTINGS),
        ("supabase/migrations/20240101000000_notes.sql", MIGRATION),
    ]);
    let server = Ferrobase::dev(folder.path());
    let get = |path: &str| server.get(path, server.anon_key());

    // The function's, and the role's, which outranks it.
    assert_eq!(ids(&get("/rest/v1/notes?select=id&order=id")), [1, 2]);
    assert_eq!(get("/rest/v1/notes?select=id.count()").status, 200);

    // Where PostgREST has it, with our own pages untouched.
    assert_eq!(ids(&get("/notes?select=id&id=eq.3")), [3]);
    assert_eq!(get("/").json()["swagger"], "2.0");
    assert_eq!(get("/health").json()["status"], "ok");

    let embed = "/notes?select=id,up:notes!parent(id)&notes.id=eq.1";
    let refused = get(embed);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(
        refused.json()["hint"],
        "Change 'notes' to 'up' in filters, orders or limits."
    );

    // A migration changes both, and the running server hears of it on its own
    // channel; of the new table it hears as always.
    write(
        folder.path(),
        "supabase/migrations/20240102000000_later.sql",
        LATER,
    );
    let up = run(folder.path(), &["migration", "up", "--json"]);
    assert_eq!(up.code, Some(0), "{up:?}");
    eventually("the new settings", || {
        get("/rest/v1/notes?select=id.count()").status == 400
            && ids(&get("/rest/v1/notes?select=id&order=id")) == [1]
    });
    eventually("the new table", || get("/rest/v1/later").status == 200);
}

#[test]
fn a_function_that_fails_stops_the_start() {
    let folder = project(&[("ferrobase.toml", "[db]\npre_config = \"private.none\"\n")]);
    let Err(done) = Ferrobase::try_dev(folder.path(), &[]) else {
        panic!("it started with settings that nobody has read");
    };
    let error = done.error().to_string();
    assert!(error.contains("db.pre_config"), "{error}");
    assert!(error.contains("private"), "{error}");
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + RELOAD_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
