//! `ferrobase status`: URLs and keys of the running instance, under the names
//! of `supabase status`. The keys are shown: they are what it is asked for.

use serde_json::{Map, Value};
use server::config::Mode;
use server::instance::{self, Running};

use super::Scene;
use crate::args::{Format, StatusArgs};
use crate::failure::{Failure, failure};
use crate::output::aligned;
use crate::project::Workspace;

/// Names of `supabase status -o env` with those of `--override-name` and of
/// the screen.
const NAMES: [(&str, &str, &str); 11] = [
    ("API_URL", "api.url", "API URL"),
    ("REST_URL", "api.rest_url", "REST URL"),
    ("GRAPHQL_URL", "api.graphql_url", "GraphQL URL"),
    ("DB_URL", "db.url", "DB URL"),
    ("MAILPIT_URL", "mailpit.url", "Mailpit URL"),
    ("INBUCKET_URL", "inbucket.url", ""),
    ("PUBLISHABLE_KEY", "auth.publishable_key", "publishable key"),
    ("SECRET_KEY", "auth.secret_key", "secret key"),
    ("JWT_SECRET", "auth.jwt_secret", "JWT secret"),
    ("ANON_KEY", "auth.anon_key", "anon key"),
    (
        "SERVICE_ROLE_KEY",
        "auth.service_role_key",
        "service_role key",
    ),
];

/// Prints it, or fails when nothing runs.
pub(super) fn run(scene: &Scene<'_>, args: &StatusArgs) -> Result<(), Failure> {
    let workspace = scene.workspace(Mode::Dev, [])?;
    let running = running(&workspace)?;
    if !running.ready {
        return Err(failure(
            "FB4003",
            format!("process {} is starting and not ready yet", running.pid),
            "Ask again in a moment.",
        ));
    }
    let other_names = overrides(&args.override_name)?;
    let renamed = |name: &str| {
        let other = other_names.iter().find(|(known, _)| *known == name);
        other.map_or_else(|| name.to_owned(), |(_, other)| other.clone())
    };
    let output = scene.output;
    let format = if output.json {
        Format::Json
    } else {
        args.output
    };
    let values = running.values.iter();
    match format {
        Format::Json => {
            let object: Map<String, Value> = values
                .map(|(name, value)| (renamed(name), value.clone()))
                .collect();
            output.value(&object.into())
        }
        Format::Env => {
            let lines: Vec<_> = values
                .map(|(name, value)| format!("{}={}\n", renamed(name), quoted(value)))
                .collect();
            output.text(&lines.concat())
        }
        Format::Pretty => {
            output.line(&format!(
                "Ferrobase runs: process {}, since {}",
                running.pid, running.started_at
            ))?;
            let lines: Vec<_> = NAMES
                .iter()
                // The same under an older name is for scripts only.
                .filter(|(_, _, shown)| !shown.is_empty())
                .filter_map(|(name, _, shown)| {
                    let value = running.values.get(*name)?.as_str()?;
                    Some(((*shown).to_owned(), value.to_owned()))
                })
                .collect();
            output.text(&aligned(&lines))
        }
    }
}

/// Who runs in the folder.
pub(super) fn running(workspace: &Workspace) -> Result<Running, Failure> {
    instance::read(workspace.data_dir()).ok_or_else(|| {
        failure(
            "FB4001",
            format!("nothing runs in {}", workspace.root.display()),
            "Start it with `ferrobase dev`, or name the project's folder with --dir.",
        )
    })
}

/// `api.url=NEXT_PUBLIC_SUPABASE_URL`, or the name of `-o env` on the left.
fn overrides(asked: &[String]) -> Result<Vec<(&'static str, String)>, Failure> {
    asked
        .iter()
        .map(|text| {
            let (value, other) = text.split_once('=').unwrap_or((text, ""));
            let known = NAMES
                .iter()
                .find(|(name, dotted, _)| value == *dotted || value == *name);
            match known {
                Some((name, ..)) if is_variable(other) => Ok((*name, other.to_owned())),
                Some(_) => Err(failure(
                    "FB4005",
                    format!("`{other}` is not a name for an environment variable"),
                    "Write --override-name api.url=NEXT_PUBLIC_SUPABASE_URL.",
                )),
                None => Err(failure(
                    "FB4005",
                    format!("there is no value `{value}`"),
                    format!(
                        "The values are {}.",
                        NAMES.map(|(_, dotted, _)| dotted).join(", ")
                    ),
                )),
            }
        })
        .collect()
}

fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// In quotes, as shells and dotenv readers understand it.
fn quoted(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_get_other_names_and_nonsense_is_refused() {
        let asked = ["api.url=NEXT_PUBLIC_SUPABASE_URL".to_owned()];
        assert_eq!(
            overrides(&asked).unwrap(),
            [("API_URL", "NEXT_PUBLIC_SUPABASE_URL".to_owned())]
        );
        for bad in ["api.url", "api.url=1X", "api.url=a b", "nothing=X"] {
            assert!(overrides(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn quotes_hold_what_a_shell_would_change() {
        assert_eq!(quoted(&"a$b\"c".into()), r#""a\$b\"c""#);
    }
}
