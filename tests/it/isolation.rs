//! A hundred callers at once, on few connections to the database, and none
//! ever sees another's role, claims or rows.
//!
//! In between, functions try to leave their mark for whoever comes next: with
//! `set_config(…, false)`, which outlives the transaction, for the very
//! settings that carry the caller's identity; statements fail halfway; clients
//! leave before their answer. A `SET` that leaks shows as a wrong answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project};
use crate::wire::{Dice, Line};

const CALLERS: usize = 100;
const ROUNDS: usize = 60;
/// Fewer connections than callers by far, so that everyone follows somebody.
const SETTINGS: &str = "[db]\npool_size = 4\n[log]\nrequests = \"none\"\n";

const SCHEMA: &str = "create table public.secrets (\
    owner uuid not null default auth.uid(), number int not null check (number >= 0));
alter table public.secrets enable row level security;
create policy own on public.secrets to authenticated using (owner = auth.uid()) with check (owner = auth.uid());

create function public.whoami() returns json language sql stable as $$
  select json_build_object(
    'user', current_user, 'role', current_setting('role'), 'sub', auth.uid(),
    'claims', nullif(current_setting('request.jwt.claims', true), '')::json,
    'path', current_setting('search_path'),
    'read_only', current_setting('transaction_read_only'),
    'owners', (select coalesce(json_agg(distinct owner), '[]') from public.secrets where number >= 0))
$$;
create function public.leave_a_mark(mark text) returns text language plpgsql as $$
begin
  perform set_config('app.mark', mark, false);
  perform set_config('request.jwt.claims',
    '{\"sub\": \"99999999-9999-4999-8999-999999999999\", \"role\": \"service_role\"}', false);
  perform set_config('request.jwt.claim.sub', '99999999-9999-4999-8999-999999999999', false);
  perform set_config('search_path', 'pg_temp', false);
  return mark;
end $$;
create function public.look_and_leave_a_mark() returns text language plpgsql stable as $$
begin
  perform set_config('request.jwt.claims',
    '{\"sub\": \"99999999-9999-4999-8999-999999999999\", \"role\": \"service_role\"}', false);
  return 'marked';
end $$;
create function public.become(who text, stays boolean) returns text language plpgsql as $$
begin
  perform set_config('role', who, not stays);
  return current_user;
end $$;
create function public.fail_marked() returns text language plpgsql as $$
begin
  perform set_config('request.jwt.claims', '{\"role\": \"service_role\"}', false);
  perform set_config('role', 'none', false);
  raise exception 'on purpose';
end $$;
create function public.slowly() returns text language plpgsql as $$
begin
  perform set_config('role', 'anon', false);
  perform pg_sleep(0.02);
  return current_user;
end $$;
";

/// Somebody with a token, or without.
struct Caller {
    role: &'static str,
    sub: Option<String>,
    token: Option<String>,
}

impl Caller {
    fn number(number: usize, server: &Ferrobase) -> Self {
        let sub = format!("00000000-0000-4000-8000-{number:012}");
        match number % 10 {
            0 => Self {
                role: "anon",
                sub: None,
                token: number
                    .is_multiple_of(20)
                    .then(|| server.anon_key().to_owned()),
            },
            1 => Self {
                role: "service_role",
                token: Some(server.token(&sub, &json!({"role": "service_role"}))),
                sub: Some(sub),
            },
            _ => Self {
                role: "authenticated",
                token: Some(server.token(&sub, &json!({"email": format!("{number}@example.org")}))),
                sub: Some(sub),
            },
        }
    }

    fn ask(
        &self,
        line: &mut Line,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        self.with_headers(|headers| line.ask(method, path, headers, body.as_bytes()))
    }

    fn with_headers<T>(&self, with: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        with(&headers)
    }

    /// Fails unless the database took this caller for who it is.
    fn check(&self, answer: &Answer) {
        let said = answer.json();
        let seen = (answer.status, said["user"].as_str(), said["role"].as_str());
        assert_eq!(seen, (200, Some(self.role), Some(self.role)), "{answer:?}");
        assert_eq!(said["sub"].as_str(), self.sub.as_deref(), "{answer:?}");
        assert_eq!(said["claims"]["role"], self.role, "{answer:?}");
        assert_eq!(
            said["claims"]["sub"].as_str(),
            self.sub.as_deref(),
            "{answer:?}"
        );
        assert_eq!(
            said["path"], "\"public\", \"public\", \"extensions\"",
            "{answer:?}"
        );
        let owners = said["owners"].as_array().unwrap();
        match self.role {
            "anon" => assert_eq!(owners.len(), 0, "{answer:?}"),
            "authenticated" => {
                let own = |owner: &Value| owner.as_str() == self.sub.as_deref();
                assert!(owners.iter().all(own), "{answer:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_hundred_callers_never_see_each_other() {
    let folder = project(&[
        ("supabase/migrations/20240101000000_secrets.sql", SCHEMA),
        ("ferrobase.toml", SETTINGS),
    ]);
    let server = Arc::new(Ferrobase::dev(folder.path()));
    let checked = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (1..=CALLERS)
        .map(|number| {
            let (server, checked) = (Arc::clone(&server), Arc::clone(&checked));
            thread::spawn(move || {
                let caller = Caller::number(number, &server);
                call(&server, &caller, number, &checked);
            })
        })
        .collect();
    let fell: Vec<_> = callers
        .into_iter()
        .filter_map(|one| one.join().err())
        .collect();
    assert_eq!(
        fell.len(),
        0,
        "callers that saw something wrong: {}",
        server.stderr()
    );
    let checked = checked.load(Ordering::Relaxed);
    assert!(checked > (CALLERS * ROUNDS / 2) as u64, "{checked}");
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

fn call(server: &Ferrobase, caller: &Caller, number: usize, checked: &AtomicU64) {
    let mut dice = Dice::new(number as u64);
    let mut line = Line::open(server.address()).unwrap();
    for round in 0..ROUNDS {
        disturb(server, caller, &mut line, dice.below(12), round);
        // By GET in a read-only transaction, by POST in one that writes, and
        // without any function at all.
        let answer = if dice.below(2) == 0 {
            caller.ask(&mut line, "GET", "/rest/v1/rpc/whoami", "")
        } else {
            caller.ask(&mut line, "POST", "/rest/v1/rpc/whoami", "{}")
        };
        caller.check(&answer.unwrap());
        let rows = caller
            .ask(&mut line, "GET", "/rest/v1/secrets?select=owner", "")
            .unwrap();
        let rows = rows.json();
        for row in rows.as_array().into_iter().flatten() {
            let own = row["owner"].as_str() == caller.sub.as_deref();
            assert!(
                own || caller.role == "service_role",
                "{} saw {row}",
                caller.role
            );
        }
        checked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Something that might leave a mark on the connection.
fn disturb(server: &Ferrobase, caller: &Caller, line: &mut Line, what: usize, round: usize) {
    let post = |line: &mut Line, path: &str, body: &str| {
        let answer = caller
            .ask(line, "POST", &format!("/rest/v1/{path}"), body)
            .unwrap();
        assert!(answer.status < 500, "{path}: {answer:?}");
        answer
    };
    let become_ = |who: &str, stays: bool| json!({"who": who, "stays": stays}).to_string();
    match what {
        0 => drop(post(
            line,
            "rpc/leave_a_mark",
            &json!({"mark": caller.sub}).to_string(),
        )),
        1 => drop(post(line, "rpc/become", &become_("service_role", true))),
        2 => drop(post(line, "rpc/become", &become_("none", true))),
        3 => drop(post(line, "rpc/become", &become_("anon", false))),
        4 => assert_eq!(post(line, "rpc/fail_marked", "{}").status, 400),
        5 => drop(
            caller
                .ask(line, "GET", "/rest/v1/rpc/look_and_leave_a_mark", "")
                .unwrap(),
        ),
        // One row that is refused takes those before it along.
        6 => drop(post(line, "secrets", r#"[{"number": 1}, {"number": -1}]"#)),
        7 => drop(post(line, "secrets", &json!({"number": round}).to_string())),
        8 => drop(
            caller
                .ask(line, "GET", "/rest/v1/secrets?number=eq.x", "")
                .unwrap(),
        ),
        9 => leave_early(server, caller, "rpc/slowly", "{}"),
        10 => leave_early(server, caller, "rpc/leave_a_mark", r#"{"mark": "gone"}"#),
        _ => leave_early(server, caller, "secrets", r#"{"number": 7}"#),
    }
}

/// A client that goes before its answer comes.
fn leave_early(server: &Ferrobase, caller: &Caller, path: &str, body: &str) {
    let mut line = Line::open(server.address()).unwrap();
    let path = format!("/rest/v1/{path}");
    caller
        .with_headers(|headers| line.say("POST", &path, headers, body.as_bytes()))
        .unwrap();
}
