//! The report for people, and how it differs from an earlier one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use server::operate::access::{Callable, Deciding, Entry, Extent, Report};

use crate::output::{Output, Tone};

/// The text of a report: relations by role, then functions, then findings.
pub(super) fn text(output: Output, report: &Report) -> String {
    let mut out = String::new();
    for role in &report.roles {
        let _ = writeln!(out, "{}", output.tone(role, Tone::Strong));
        let mine: Vec<&Entry> = report.access.iter().filter(|of| of.role == *role).collect();
        let callable: Vec<&Callable> = report
            .functions
            .iter()
            .filter(|of| of.role == *role)
            .collect();
        if mine.is_empty() && callable.is_empty() {
            let _ = writeln!(out, "  nothing");
        }
        for entry in mine {
            let _ = writeln!(out, "  {}", of_entry(output, entry));
        }
        let (brought, own): (Vec<&Callable>, _) =
            callable.into_iter().partition(|of| of.extension.is_some());
        for one in own {
            let _ = writeln!(out, "  call    {} ({})", one.function, one.security);
        }
        if !brought.is_empty() {
            let _ = writeln!(out, "  call    {} functions of extensions", brought.len());
        }
    }
    if !report.findings.is_empty() {
        let _ = writeln!(out, "\n{}", output.tone("findings", Tone::Strong));
    }
    for finding in &report.findings {
        let word = output.tone(finding.kind.word(), Tone::Warning);
        let _ = writeln!(out, "  {word}  {}: {}", finding.on, finding.message);
    }
    for note in &report.notes {
        let _ = writeln!(out, "\nnote: {note}");
    }
    out
}

fn of_entry(output: Output, entry: &Entry) -> String {
    let rows = match entry.rows {
        Extent::All => output.tone("all rows", Tone::Warning),
        Extent::ByPolicy => "by policy".to_owned(),
        Extent::ByView => "by view".to_owned(),
    };
    let mut text = format!(
        "{:<6}  {}  {rows}: {}",
        entry.command, entry.on, entry.because
    );
    if let Some(columns) = &entry.columns {
        let _ = write!(text, "; only {}", columns.join(", "));
    }
    for policy in &entry.policies {
        let _ = write!(text, "\n            {}", of_policy(policy));
    }
    text
}

fn of_policy(policy: &Deciding) -> String {
    let kind = if policy.permissive {
        ""
    } else {
        " (restrictive)"
    };
    let mut text = format!("{}{kind}", policy.name);
    if let Some(using) = &policy.using {
        let _ = write!(text, " USING {using}");
    }
    if let Some(check) = &policy.check {
        let _ = write!(text, " WITH CHECK {check}");
    }
    text
}

/// Lines with `-` for what is gone and `+` for what is new.
pub(super) fn differences(before: &Report, now: &Report) -> Vec<String> {
    let (before, now) = (lines(before), lines(now));
    let gone = before.difference(&now).map(|line| format!("- {line}\n"));
    let new = now.difference(&before).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}

/// One line for each thing that may be done, with the conditions on it.
fn lines(report: &Report) -> BTreeSet<String> {
    let entries = report.access.iter().map(|entry| {
        let rows = match entry.rows {
            Extent::All => "all rows",
            Extent::ByPolicy => "by policy",
            Extent::ByView => "by view",
        };
        let mut text = format!(
            "{} {} {} {rows}: {}",
            entry.role, entry.command, entry.on, entry.because
        );
        if let Some(columns) = &entry.columns {
            let _ = write!(text, "; only {}", columns.join(", "));
        }
        for policy in &entry.policies {
            let _ = write!(text, "; {}", of_policy(policy));
        }
        text
    });
    let calls = report.functions.iter().map(|one| {
        let rights = if one.security == "definer" {
            format!("with the rights of {}", one.owner)
        } else {
            "with the caller's rights".to_owned()
        };
        format!("{} call {} {rights}", one.role, one.function)
    });
    entries.chain(calls).collect()
}
