//! Requests and what becomes of them, as text: `tests/data/*.txt`, each a
//! request, then the plan, the statement and its parameters.
//!
//! `UPDATE=1 cargo test -p rest` writes the files anew from their requests; the
//! difference is then read in the commit. The catalog is `catalog`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod catalog;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pg::SqlBuf;

use crate::call::prefer::Count;
use crate::call::{Call, CallConfig};
use crate::config::Config;
use crate::error::RestError;
use crate::plan::tree::{ReadNode, Spread};
use crate::plan::{Plan, plan};
use crate::sql::{self, Query};

/// Ends the request in a file.
const DIVIDER: &str = "\n----\n";

#[test]
fn requests_become_the_statements_in_the_files() {
    let mut differing = Vec::new();
    let mut seen = 0;
    for file in files() {
        seen += 1;
        let text = std::fs::read_to_string(&file).unwrap();
        let (request, before) = text.split_once(DIVIDER).unwrap_or((text.trim_end(), ""));
        let now = answer(request);
        if before == now {
            continue;
        }
        if updating() {
            std::fs::write(&file, format!("{request}{DIVIDER}{now}")).unwrap();
        } else {
            differing.push(format!("{}:\n{now}", file.display()));
        }
    }
    assert!(seen > 0, "there are files");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests decides whether the files are rewritten"
)]
fn updating() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

/// The plan and the statements of a request, or its refusal.
fn answer(request: &str) -> String {
    let catalog = catalog::catalog();
    let config = Config {
        schemas: vec!["api".to_owned()],
        aggregates_enabled: true,
        plan_enabled: true,
        legacy_target_names: !request.contains("\n# url-use-legacy-target-names=false\n"),
        max_rows: None,
        ..Config::default()
    };
    let outcome = parse(request).and_then(|call| {
        let plan = plan(&catalog, &config, &call)?;
        Ok(describe(&call, &plan))
    });
    outcome.unwrap_or_else(|error| format!("{} {}\n", error.status(), error.body()))
}

/// `METHOD target`, headers, an empty line, the body.
fn parse(text: &str) -> Result<Call, RestError> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines().filter(|line| !line.starts_with('#'));
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    // Files are to be read; on the wire these must be encoded.
    let target = target
        .replace('>', "%3E")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let mut request = http::Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let config = CallConfig {
        schemas: vec!["api".to_owned()],
        ..CallConfig::default()
    };
    Call::parse(&parts, Bytes::from(body.to_owned()), &config)
}

fn describe(call: &Call, plan: &Plan<'_>) -> String {
    let mut out = String::new();
    let explains = call.prefer.count.is_some_and(Count::explains);
    let (query, count_plan) = match plan {
        Plan::Read(plan) => {
            let _ = writeln!(out, "{:?} as {}", plan.handler, plan.media.mime());
            node(&mut out, &plan.tree, 0);
            let count_plan = explains.then(|| sql::render_count_plan(plan));
            (sql::render_read(plan, call, None), count_plan)
        }
        Plan::Mutate(plan) => {
            let _ = writeln!(out, "{:?} as {}", plan.handler, plan.media.mime());
            let _ = writeln!(out, "returning {:?}", plan.mutate.returning);
            node(&mut out, &plan.tree, 0);
            (sql::render_mutate(plan, call), None)
        }
        Plan::Call(plan) => {
            let _ = writeln!(out, "{:?} as {}", plan.handler, plan.media.mime());
            let mode = if plan.read_only { "reads" } else { "writes" };
            let _ = writeln!(out, "{} {mode}", plan.routine.name.name);
            node(&mut out, &plan.tree, 0);
            (sql::render_call(plan, call), None)
        }
        Plan::Root => return "the root\n".to_owned(),
        Plan::Info { allow } => return format!("allow {allow}\n"),
    };
    let Query { main, shape, count } = query;
    let _ = writeln!(out, "\n{shape:?}");
    statement(&mut out, main);
    for other in count.into_iter().chain(count_plan) {
        statement(&mut out, other);
    }
    out
}

fn node(out: &mut String, tree: &ReadNode, depth: usize) {
    let select: Vec<&str> = tree
        .select
        .iter()
        .map(|item| item.alias.as_deref().unwrap_or(&item.field.name))
        .collect();
    let spread = match &tree.spread {
        None => "",
        Some(Spread::ToOne) => " spread",
        Some(Spread::ToMany { .. }) => " spread to arrays",
    };
    let _ = writeln!(
        out,
        "{:indent$}{}{spread} {select:?}, {} conditions, {} orders",
        "",
        tree.result_name(),
        tree.logic.len() + tree.joins.len(),
        tree.order.len(),
        indent = depth * 2,
    );
    for child in &tree.children {
        node(out, child, depth + 1);
    }
}

/// One clause a line, so that differences can be read.
fn statement(out: &mut String, sql: SqlBuf) {
    let (text, params) = sql.into_parts();
    let mut lines = text;
    for clause in [
        " FROM ",
        " LEFT JOIN ",
        " INNER JOIN ",
        " WHERE ",
        " GROUP BY ",
        " ORDER BY ",
        " LIMIT ",
        " RETURNING ",
        " ON CONFLICT",
        " SET ",
    ] {
        lines = lines.replace(clause, &format!("\n  {}", clause.trim_start()));
    }
    let lines = lines
        .replace("DISTINCT\n  FROM", "DISTINCT FROM")
        .replace("DELETE\n  FROM", "DELETE FROM");
    let _ = writeln!(out, "{lines}");
    for (index, param) in params.iter().enumerate() {
        let _ = writeln!(out, "  ${} = {param:?}", index + 1);
    }
}
