//! Nothing that a request says becomes syntax: values travel beside the
//! statement, names arrive quoted, whatever they contain; and PostgreSQL can
//! parse what comes out.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use pg::SqlBuf;
use pg::testing::{TestDb, lexed};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::catalog;
use crate::call::ast::{Field, JsonOperand, LogicTree, OpExpr, Operation, Query, SelectItem};
use crate::call::tests::render;
use crate::call::tests::whole::{Sent, sent};
use crate::call::{Action, Call, Invocation};
use crate::config::Config;
use crate::dry_run;

/// In every value, and nowhere else.
const VALUE: &str = "vQ7";
/// In every name that is not one of the catalog's, and nowhere else.
const NAME: &str = "nQ9";

/// What is worth trying to get through, around the mark.
const HOSTILE: [&str; 8] = [
    "'; DROP TABLE x; --",
    "\\'; --",
    "\"; --",
    "$$",
    "$1",
    "/*",
    "☃\u{2028}é",
    "E'\\",
];

/// Makes a call one of the golden catalog: real relations, and marks on all
/// that the request itself brings. `n` varies the hostile parts.
fn aimed(sent: Sent, n: usize) -> Sent {
    let Sent { mut call, mut body } = sent;
    let mut marks = Marks(n);
    marks.query(&mut call.query);
    let mut n = n;
    forest(&mut call.query.select, "projects", &mut n);
    match &mut call.action {
        Action::Read { relation } | Action::Mutate { relation, .. } => {
            "projects".clone_into(relation);
        }
        Action::Invoke {
            routine,
            invocation,
        } => {
            "open_projects".clone_into(routine);
            call.query.columns = None;
            body = Bytes::from(format!("{{\"since\":\"{VALUE}'$$\\\\\"}}"));
            if *invocation == Invocation::Read {
                call.query.params = vec![("since".to_owned(), marks.value("1"))];
            }
        }
        _ => {}
    }
    if call.columns.contains("name") || call.method == Method::PATCH {
        body = Bytes::from(format!("[{{\"name\":\"{VALUE}'$$\\\\\"}}]"));
    }
    if call.payload.is_some() {
        call.content_type = crate::call::media::MediaType::Json;
    }
    "api".clone_into(&mut call.schema);
    call.prefer.invalid.clear();
    call.path = render::path(&call.action);
    Sent { call, body }
}

struct Marks(usize);

impl Marks {
    fn hostile(&mut self) -> &'static str {
        self.0 = self.0.wrapping_mul(31).wrapping_add(7);
        HOSTILE.iter().cycle().nth(self.0 % 64).copied().unwrap()
    }

    fn value(&mut self, text: &str) -> String {
        format!("{text}{VALUE}{}", self.hostile())
    }

    fn name(&mut self, name: &mut String) {
        if name != "*" {
            *name = format!("{name}{NAME}{}", self.hostile());
        }
    }

    fn field(&mut self, field: &mut Field) {
        self.name(&mut field.name);
        for step in &mut field.path {
            if let JsonOperand::Key(key) = &mut step.operand {
                self.name(key);
            }
        }
    }

    fn query(&mut self, query: &mut Query) {
        self.items(&mut query.select);
        for (path, filter) in &mut query.filters {
            path.clear();
            self.field(&mut filter.field);
            self.expr(&mut filter.expr);
        }
        for (path, tree) in &mut query.logic {
            path.clear();
            self.tree(tree);
        }
        query.embed_ranges.clear();
        query.order.truncate(1);
        for (path, terms) in &mut query.order {
            path.clear();
            for term in terms {
                term.relation = None;
                self.field(&mut term.field);
            }
        }
        query.columns = query.columns.as_ref().map(|_| vec!["name".to_owned()]);
        query.on_conflict = None;
    }

    fn items(&mut self, items: &mut [SelectItem]) {
        for item in items {
            match item {
                SelectItem::Field(selected) => {
                    self.field(&mut selected.field);
                    if let Some(name) = &mut selected.alias {
                        self.name(name);
                    }
                }
                SelectItem::Relation(relation) => {
                    if let Some(name) = &mut relation.alias {
                        self.name(name);
                    }
                    relation.hint = None;
                    self.items(&mut relation.select);
                }
            }
        }
    }

    fn tree(&mut self, tree: &mut LogicTree) {
        match tree {
            LogicTree::Group { branches, .. } => {
                for branch in branches {
                    self.tree(branch);
                }
            }
            LogicTree::Filter(filter) => {
                self.field(&mut filter.field);
                self.expr(&mut filter.expr);
            }
        }
    }

    fn expr(&mut self, expr: &mut OpExpr) {
        match &mut expr.operation {
            Operation::Simple(_, value)
            | Operation::Quantified(_, _, value)
            | Operation::IsDistinctFrom(value) => *value = self.value(value),
            Operation::In(values) => {
                for value in values {
                    *value = self.value(value);
                }
            }
            Operation::Fts(_, language, value) => {
                *value = self.value(value);
                // An unquoted word by its grammar, and a value all the same.
                if let Some(word) = language {
                    word.push_str(VALUE);
                }
            }
            Operation::Is(_) => {}
        }
    }
}

/// Embeds of what is there.
fn forest(items: &mut [SelectItem], of: &str, n: &mut usize) {
    let related: &[&str] = match of {
        "projects" => &["clients", "tasks", "users"],
        _ => &["projects"],
    };
    for item in items {
        if let SelectItem::Relation(relation) = item {
            *n = n.wrapping_add(1);
            let name = related.iter().cycle().nth(*n % 6).copied().unwrap();
            name.clone_into(&mut relation.name);
            forest(&mut relation.select, name, n);
        }
    }
}

fn statements(sent: &Sent) -> Option<Vec<SqlBuf>> {
    let config = Config {
        schemas: vec!["api".to_owned()],
        aggregates_enabled: true,
        plan_enabled: true,
        max_rows: Some(1000),
        ..Config::default()
    };
    let call = Call::parse(
        &render::head(&sent.call),
        sent.body.clone(),
        &render::config(),
    );
    let statements = dry_run::statements(&catalog::catalog(), &config, &call.ok()?);
    statements.ok().filter(|statements| !statements.is_empty())
}

/// The columns that the request names at its root. Embeds are left out: of
/// two that have one name only one is written.
fn names(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in &query.select {
        if let SelectItem::Field(selected) = item {
            names.insert(selected.field.name.clone());
            names.extend(selected.alias.clone());
        }
    }
    names.extend(query.filters.iter().map(|(_, f)| f.field.name.clone()));
    let terms = query.order.iter().flat_map(|(_, terms)| terms);
    names.extend(terms.map(|term| term.field.name.clone()));
    names
}

fn check(sent: &Sent, statements: &[SqlBuf]) -> Result<(), TestCaseError> {
    for (index, statement) in statements.iter().enumerate() {
        let text = statement.text();
        prop_assert!(!text.contains(VALUE), "a value in the text: {text}");
        let found = lexed(text).map_err(TestCaseError::fail)?;
        prop_assert!(!found.syntax.contains(NAME), "a bare name: {text}");
        let count = statement.params().len();
        prop_assert!(
            found.params.iter().all(|n| (1..=count).contains(n)),
            "{text}"
        );
        let is_read = matches!(sent.call.action, Action::Read { .. });
        if index == 0 && is_read && !sent.call.headers_only {
            let wanted = names(&sent.call.query);
            for name in wanted.iter().filter(|name| name.contains(NAME)) {
                prop_assert!(
                    found.names.contains(name),
                    "{name:?} is not a name of {text}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn requests_stay_out_of_the_syntax((sent, n) in (sent(), any::<usize>())) {
        let sent = aimed(sent, n);
        if let Some(statements) = statements(&sent) {
            check(&sent, &statements)?;
        }
    }
}

/// The tables and functions of the golden catalog.
const SCHEMA: &str = "
CREATE SCHEMA api;
CREATE TABLE api.clients (id integer PRIMARY KEY, name text);
CREATE TABLE api.projects (id integer PRIMARY KEY, name text, client_id integer, data jsonb, tags text[], search tsvector);
CREATE TABLE api.tasks (id integer PRIMARY KEY, name text, project_id integer);
CREATE TABLE api.users (id integer PRIMARY KEY, name text);
CREATE TABLE api.users_projects (user_id integer, project_id integer, PRIMARY KEY (project_id, user_id));
CREATE FUNCTION api.open_projects(since date) RETURNS SETOF api.projects LANGUAGE sql AS 'SELECT * FROM api.projects';
";

/// Syntax is checked before names are looked up, so statements full of names
/// that do not exist can be tried as well.
#[tokio::test]
async fn postgres_can_parse_what_is_rendered() {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    session.script(SCHEMA).await.unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut parsed, mut understood) = (0, 0);
    for n in 0..400 {
        let made = sent().new_tree(&mut runner).unwrap().current();
        let made = aimed(made, n);
        for statement in statements(&made).into_iter().flatten() {
            let text = statement.text();
            // EXPLAIN cannot be prepared; what it explains is tried elsewhere.
            if text.starts_with("EXPLAIN") {
                continue;
            }
            let mut prepare = SqlBuf::new();
            prepare
                .lit("PREPARE statement AS ")
                .append(statement.clone());
            match session.script(prepare.text()).await {
                Ok(_) => {
                    session.script("DEALLOCATE statement").await.unwrap();
                    understood += 1;
                }
                Err(error) => {
                    let state = error.sqlstate().unwrap_or("none").to_owned();
                    // syntax_error, invalid_name, reserved_name, name_too_long,
                    // untranslatable_character, and those of broken quoting.
                    let broken = ["42601", "42602", "42939", "22P05", "22025", "none"];
                    assert!(!broken.contains(&state.as_str()), "{error}: {text}");
                }
            }
            parsed += 1;
        }
    }
    assert!(parsed > 100, "{parsed} statements");
    assert!(understood > 10, "{understood} of {parsed} understood");
    session.close().await;
}
