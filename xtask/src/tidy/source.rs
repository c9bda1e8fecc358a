//! Rules about the text of Rust and SQL files.

use crate::tidy::{Complaint, File};

/// A file fits a sitting.
const LINES_MAX: usize = 500;

/// Files that are longer for a reason. The number is today's length; it may only go down.
const LONGER: &[(&str, usize, &str)] = &[(
    "sdk/python/ferrobase_worker.py",
    807,
    "one file, so that it can be copied into a project",
)];

/// Calls that send text to Postgres.
const SENDS_SQL: [&str; 5] = [
    ".query(",
    ".script(",
    ".execute(",
    ".prepare(",
    ".simple_query(",
];

/// How far from such a call text must not be formatted.
const FORMAT_DISTANCE: usize = 3;

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        if file.has_extension("rs") {
            complaints.extend(header(file));
            complaints.extend(formatted_sql(file));
            complaints.extend(allowed(file));
        }
        if file.has_extension("sql") {
            complaints.extend(sql_header(file));
        }
        if ["rs", "sql", "js", "py"]
            .iter()
            .any(|extension| file.has_extension(extension))
        {
            complaints.extend(length(file));
        }
        complaints.extend(unfinished(file));
    }
    complaints
}

/// Entries of [`LONGER`] that name no file.
pub(super) fn gone(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, _, _) in LONGER {
        if !files.iter().any(|file| file.path.as_os_str() == *path) {
            let here = std::path::Path::new("xtask/src/tidy/source.rs");
            complaints.push(Complaint::new(
                here,
                1,
                format!("{path} is gone; remove it from the list"),
            ));
        }
    }
    complaints
}

/// A file opens with what it is, why, and where to start.
fn header(file: &File) -> Option<Complaint> {
    let first = file.text.lines().next().unwrap_or_default();
    let told = first
        .strip_prefix("//!")
        .is_some_and(|rest| rest.trim().len() > 3);
    (!told).then(|| {
        Complaint::new(
            &file.path,
            1,
            "open the file with `//!`: what it is, why, where to start",
        )
    })
}

fn sql_header(file: &File) -> Option<Complaint> {
    let first = file.text.lines().next().unwrap_or_default();
    let told = first
        .strip_prefix("--")
        .is_some_and(|rest| rest.trim().len() > 3);
    (!told).then(|| {
        Complaint::new(
            &file.path,
            1,
            "open the file with a comment: its purpose and who calls it",
        )
    })
}

fn length(file: &File) -> Option<Complaint> {
    let lines = file.text.lines().count();
    let listed = LONGER
        .iter()
        .find(|(path, _, _)| file.path.as_os_str() == *path);
    let text = match listed {
        None if lines > LINES_MAX => {
            format!("{lines} lines; split it, a file has at most {LINES_MAX}")
        }
        Some((_, max, _)) if lines > *max => {
            format!("{lines} lines; it is listed with {max} and may only shrink")
        }
        Some((_, max, _)) if lines < *max => {
            format!("{lines} lines; lower its entry in the list from {max}")
        }
        _ => return None,
    };
    Some(Complaint::new(&file.path, lines, text))
}

/// Text that reaches Postgres is fixed or built by `SqlBuf`; a `format!` beside the call is
/// nearly always neither. Test code may: it makes databases and roles with names of its own.
fn formatted_sql(file: &File) -> Vec<Complaint> {
    if !file.is_below("crates")
        || file.name() == "tests.rs"
        || file.path.iter().any(|part| part == "tests")
    {
        return Vec::new();
    }
    let code: Vec<&str> = file
        .text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .collect();
    let sends = |line: &str| !is_comment(line) && SENDS_SQL.iter().any(|call| line.contains(call));
    let formats = |line: &str| {
        line.contains("format!(")
            && !is_comment(line)
            && !line.contains("map_err")
            && !line.contains("context(")
    };
    let near = |index: usize| {
        let window = code
            .iter()
            .skip(index.saturating_sub(FORMAT_DISTANCE))
            .take(index.min(FORMAT_DISTANCE) + FORMAT_DISTANCE + 1);
        window.copied().any(sends)
    };
    let found = code
        .iter()
        .enumerate()
        .filter(|(index, line)| formats(line) && near(*index));
    found
        .map(|(index, _)| {
            Complaint::new(
                &file.path,
                index + 1,
                "`format!` beside a call that sends SQL; use SqlBuf",
            )
        })
        .collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// `expect` complains when it is no longer needed; `allow` stays for ever.
fn allowed(file: &File) -> Vec<Complaint> {
    let found = file.lines().filter(|(_, line)| {
        let line = line.trim_start();
        line.starts_with(concat!("#[al", "low(")) || line.starts_with(concat!("#![al", "low("))
    });
    found
        .map(|(number, _)| {
            Complaint::new(
                &file.path,
                number,
                "write `#[expect(lint, reason = \"...\")]`",
            )
        })
        .collect()
}

/// Unfinished work is an issue; the mark in the code names it.
fn unfinished(file: &File) -> Vec<Complaint> {
    const MARKS: [&str; 3] = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    const CODE: [&str; 7] = ["rs", "sql", "toml", "js", "py", "sh", "yml"];
    if !CODE.iter().any(|extension| file.has_extension(extension)) {
        return Vec::new();
    }
    let marked = |line: &str| {
        MARKS
            .iter()
            .any(|mark| words(line).any(|word| word == *mark))
    };
    let named = |line: &str| {
        line.split('#')
            .skip(1)
            .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
    };
    let found = file
        .lines()
        .filter(|(_, line)| marked(line) && !named(line));
    found
        .map(|(number, _)| {
            Complaint::new(
                &file.path,
                number,
                "unfinished work needs its issue, as in `(#12)`",
            )
        })
        .collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
