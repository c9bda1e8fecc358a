//! An explanation for people: the verdict, the reasons with what changes
//! them, and then what each relation and row met.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::{Output, Tone};

/// The text of an explanation.
pub(super) fn text(output: Output, document: &Value) -> String {
    let mut out = String::new();
    head(output, &mut out, document);
    for reason in list(document, "reasons") {
        one_reason(output, &mut out, reason);
    }
    if let Some(function) = document.get("function") {
        let name = output.tone(text_of(function, "function"), Tone::Strong);
        line(&mut out, 0, &format!("\nfunction {name}"));
        for note in list(function, "notes") {
            line(&mut out, 2, note.as_str().unwrap_or_default());
        }
    }
    for relation in list(document, "relations") {
        one_relation(output, &mut out, relation);
    }
    for note in list(document, "notes") {
        line(
            &mut out,
            0,
            &format!("\nnote: {}", note.as_str().unwrap_or_default()),
        );
    }
    out
}

fn head(output: Output, out: &mut String, document: &Value) {
    let (word, tone) = match text_of(document, "outcome") {
        "allowed" => ("allowed", Tone::Good),
        "no_rows" => ("no rows", Tone::Warning),
        "undecided" => ("undecided", Tone::Warning),
        "rows_hidden" => ("rows hidden", Tone::Warning),
        _ => ("refused", Tone::Bad),
    };
    let nothing = Value::Null;
    let subject = document.get("subject").unwrap_or(&nothing);
    let request = document.get("request").unwrap_or(&nothing);
    line(
        out,
        0,
        &format!(
            "{} {}: {}",
            text_of(request, "method"),
            text_of(request, "path"),
            output.tone(word, tone)
        ),
    );
    let claims = subject.get("claims").map(Value::to_string);
    line(
        out,
        0,
        &format!(
            "as {} with {}",
            text_of(subject, "role"),
            claims.unwrap_or_default()
        ),
    );
}

fn one_reason(output: Output, out: &mut String, reason: &Value) {
    let code = output.tone(text_of(reason, "code"), Tone::Strong);
    line(out, 0, &format!("\n{code} ({})", text_of(reason, "on")));
    line(out, 2, text_of(reason, "message"));
    for change in list(reason, "change") {
        let effect = text_of(change, "effect");
        match change.get("sql").and_then(Value::as_str) {
            Some(sql) => {
                line(out, 4, sql);
                line(out, 6, &output.tone(&format!("-- {effect}"), Tone::Faint));
            }
            None => line(out, 4, effect),
        }
    }
}

fn one_relation(output: Output, out: &mut String, relation: &Value) {
    let name = output.tone(text_of(relation, "as"), Tone::Strong);
    line(
        out,
        0,
        &format!(
            "\n{} {name} = {} as {}",
            text_of(relation, "action"),
            text_of(relation, "relation"),
            text_of(relation, "role"),
        ),
    );
    for grant in list(relation, "grants") {
        let granted = grant.get("granted").and_then(Value::as_bool) == Some(true);
        let word = if granted {
            output.tone("granted", Tone::Good)
        } else {
            output.tone("missing", Tone::Bad)
        };
        line(out, 2, &format!("{} {word}", text_of(grant, "privilege")));
    }
    if let Some(security) = relation.get("row_level_security") {
        line(out, 2, text_of(security, "because"));
    }
    for policy in list(relation, "policies") {
        line(out, 2, &one_policy(output, policy));
    }
    for (title, rows) in [("row", "rows"), ("new row", "new_rows")] {
        for row in list(relation, rows) {
            one_row(output, out, title, row);
        }
    }
    for note in list(relation, "notes") {
        line(
            out,
            2,
            &format!("note: {}", note.as_str().unwrap_or_default()),
        );
    }
}

fn one_policy(output: Output, policy: &Value) -> String {
    let is = |name: &str| policy.get(name).and_then(Value::as_bool) == Some(true);
    let roles: Vec<&str> = list(policy, "roles")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let kind = if is("permissive") { "" } else { "restrictive " };
    let mut text = format!(
        "policy {}: {kind}for {} to {}",
        text_of(policy, "name"),
        text_of(policy, "command"),
        roles.join(", ")
    );
    for (name, keyword) in [("using", "USING"), ("check", "WITH CHECK")] {
        if let Some(expression) = policy.get(name).and_then(Value::as_str) {
            let _ = write!(text, " {keyword} {expression}");
        }
    }
    if is("applies") {
        text
    } else {
        output.tone(&format!("{text} (not for this role)"), Tone::Faint)
    }
}

fn one_row(output: Output, out: &mut String, title: &str, row: &Value) {
    let key = row.get("key").map(Value::to_string).unwrap_or_default();
    let verdict = row.get("passes").or_else(|| row.get("visible"));
    let word = match verdict.and_then(Value::as_bool) {
        Some(true) => output.tone("yes", Tone::Good),
        Some(false) => output.tone("no", Tone::Bad),
        None => "?".to_owned(),
    };
    let space = if key.is_empty() { "" } else { " " };
    let mut text = format!("{title}{space}{key}: {word}");
    for said in list(row, "policies") {
        let result = match (said.get("error"), said.get("result")) {
            (Some(error), _) => error.as_str().unwrap_or_default().to_owned(),
            (None, Some(Value::Bool(result))) => result.to_string(),
            _ => "null".to_owned(),
        };
        let _ = write!(
            text,
            "  {} ({} {}): {result}",
            text_of(said, "policy"),
            text_of(said, "for"),
            text_of(said, "clause")
        );
    }
    line(out, 2, &text);
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let items = value.get(name).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn line(out: &mut String, indent: usize, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}
