//! `jobs graph`: a tree of jobs and what waits for what, as lines, for
//! Graphviz and for Mermaid. Pure but for [`run`].

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;
use server::operate::remote::Remote;

use super::look::{self, called, clean, state, text};
use crate::args::jobs::GraphFormat;
use crate::failure::Failure;
use crate::output::Output;

/// Prints it.
pub(super) async fn run(
    output: Output,
    remote: &Remote,
    job: &str,
    format: GraphFormat,
) -> Result<(), Failure> {
    let (_, jobs) = look::tree(remote, job).await?;
    if output.json {
        return output.value(&jobs.into());
    }
    output.text(&match format {
        GraphFormat::Ascii => ascii(output, &jobs),
        GraphFormat::Dot => dot(&jobs),
        GraphFormat::Mermaid => mermaid(&jobs),
    })
}

/// The jobs that this one depends on.
fn needs(job: &Value) -> impl Iterator<Item = &str> {
    let list = job.get("depends_on").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// As a tree; beside each job what it comes after. The first job is the root.
pub(super) fn ascii(output: Output, jobs: &[Value]) -> String {
    let mut children: HashMap<&str, Vec<&Value>> = HashMap::new();
    for job in jobs.iter().skip(1) {
        children
            .entry(text(job, "parent_id"))
            .or_default()
            .push(job);
    }
    let names: HashMap<&str, String> = jobs
        .iter()
        .map(|job| (text(job, "id"), called(job)))
        .collect();
    let mut lines = String::new();
    let mut waiting: Vec<(&Value, String, String)> = Vec::new();
    if let Some(root) = jobs.first() {
        waiting.push((root, String::new(), String::new()));
    }
    // Depth first without recursion: trees are as deep as somebody made them.
    while let Some((job, branch, below)) = waiting.pop() {
        let _ = write!(lines, "{branch}{}  {}", called(job), state(output, job));
        let after: Vec<_> = needs(job)
            .map(|id| names.get(id).map_or_else(|| clean(id), String::clone))
            .collect();
        if !after.is_empty() {
            let _ = write!(lines, "  after {}", after.join(", "));
        }
        lines.push('\n');
        let list = children.remove(text(job, "id")).unwrap_or_default();
        for (from_end, child) in list.into_iter().rev().enumerate() {
            let (twig, bark) = if from_end == 0 {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            waiting.push((child, format!("{below}{twig}"), format!("{below}{bark}")));
        }
    }
    lines
}

/// Colours by state, the same in both notations.
fn colour(job: &Value) -> &'static str {
    match text(job, "state") {
        "completed" => "#c8e6c9",
        "running" => "#bbdefb",
        "failed" => "#ffcdd2",
        "paused" => "#ffe0b2",
        "cancelled" => "#e0e0e0",
        _ => "#ffffff",
    }
}

/// What both notations take between double quotes.
fn label(job: &Value) -> String {
    let plain = |text: &str| clean(text).replace(['"', '\\', '<', '>'], "'");
    format!("{} ({})", plain(&called(job)), plain(text(job, "state")))
}

fn dot(jobs: &[Value]) -> String {
    let mut out = String::from("digraph jobs {\n  node [shape=box, style=\"rounded,filled\"];\n");
    for job in jobs {
        let id = clean(text(job, "id"));
        let _ = writeln!(
            out,
            "  \"{id}\" [label=\"{}\", fillcolor=\"{}\"];",
            label(job),
            colour(job)
        );
    }
    for job in jobs {
        let id = clean(text(job, "id"));
        if jobs
            .iter()
            .any(|other| text(other, "id") == text(job, "parent_id"))
        {
            let _ = writeln!(
                out,
                "  \"{}\" -> \"{id}\" [style=dotted, arrowhead=none];",
                clean(text(job, "parent_id"))
            );
        }
        for on in needs(job) {
            let _ = writeln!(out, "  \"{}\" -> \"{id}\";", clean(on));
        }
    }
    out.push_str("}\n");
    out
}

fn mermaid(jobs: &[Value]) -> String {
    // Ids with dashes are no names there: jobs are numbered.
    let numbers: HashMap<&str, usize> = jobs
        .iter()
        .enumerate()
        .map(|(n, job)| (text(job, "id"), n))
        .collect();
    let mut out = String::from("flowchart LR\n");
    for (n, job) in jobs.iter().enumerate() {
        let _ = writeln!(out, "  j{n}[\"{}\"]", label(job));
        let _ = writeln!(out, "  style j{n} fill:{}", colour(job));
    }
    for (n, job) in jobs.iter().enumerate() {
        if let Some(parent) = numbers.get(text(job, "parent_id")) {
            let _ = writeln!(out, "  j{parent} -.- j{n}");
        }
        for on in needs(job).filter_map(|on| numbers.get(on)) {
            let _ = writeln!(out, "  j{on} --> j{n}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Environment;
    use serde_json::json;

    fn jobs() -> Vec<Value> {
        vec![
            json!({"id": "r", "parent_id": null, "type": "film", "state": "running", "progress": 0.5}),
            json!({"id": "a", "parent_id": "r", "type": "script", "state": "completed"}),
            json!({"id": "b", "parent_id": "r", "name": "clip \"1\"", "state": "queued", "waiting_on": "dependencies", "depends_on": ["a"]}),
            json!({"id": "c", "parent_id": "a", "type": "draft", "state": "completed"}),
        ]
    }

    #[test]
    fn a_tree_is_drawn_with_what_comes_after_what() {
        let output = Output::new(true, &Environment::default());
        let drawn = "\
film  running 50 %
├─ script  completed
│  └─ draft  completed
└─ clip \"1\"  queued: dependencies  after script
";
        assert_eq!(ascii(output, &jobs()), drawn);
    }

    #[test]
    fn both_notations_have_every_edge_and_no_stray_quote() {
        let dot = dot(&jobs());
        for part in [
            "\"a\" -> \"b\";",
            "\"r\" -> \"a\" [style=dotted",
            "label=\"clip '1' (queued)\"",
        ] {
            assert!(dot.contains(part), "{dot}");
        }
        let mermaid = mermaid(&jobs());
        for part in ["j1 --> j2", "j0 -.- j1", "j2[\"clip '1' (queued)\"]"] {
            assert!(mermaid.contains(part), "{mermaid}");
        }
    }
}
