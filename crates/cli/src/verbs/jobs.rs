//! `ferrobase jobs …`: looks at durable work and changes it, over HTTP, with
//! the service key of what runs in the folder or with `--url` and `--key`.
//!
//! `list`, `show`, `tail` and `graph` write for people; `--json` prints what
//! the server said. [`look`] has what they share: reading a job's document.

mod graph;
mod list;
mod look;
mod show;
mod tail;

use kernel::Secret;
use serde_json::{Value, json};
use server::config::Mode;
use server::operate::remote::{Remote, RemoteError};

use super::{Scene, status};
use crate::args::jobs::{JobsVerb, ServerArgs};
use crate::failure::{Failure, failure};
use crate::output::Output;

/// Does what was asked for.
pub(super) async fn run(
    scene: &Scene<'_>,
    server: &ServerArgs,
    verb: JobsVerb,
) -> Result<(), Failure> {
    let (output, remote) = (scene.output, remote(scene, server)?);
    match verb {
        JobsVerb::List(args) => list::run(output, &remote, &args).await,
        JobsVerb::Show { job } => show::run(output, &remote, &job).await,
        JobsVerb::Tail {
            job,
            after,
            no_follow,
        } => tail::run(output, &remote, &job, after, !no_follow).await,
        JobsVerb::Graph { job, format } => graph::run(output, &remote, &job, format).await,
        JobsVerb::Retry(args) => change(output, &remote, &args.jobs, "retry", &json!({})).await,
        JobsVerb::Pause(args) => change(output, &remote, &args.jobs, "pause", &json!({})).await,
        JobsVerb::Resume(args) => change(output, &remote, &args.jobs, "resume", &json!({})).await,
        JobsVerb::Cancel { jobs, reason } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            change(output, &remote, &jobs.jobs, "cancel", &body).await
        }
    }
}

/// The server that was named, or the one that runs in the folder. A key for an
/// address comes from where the address does: ours goes to nobody else.
fn remote(scene: &Scene<'_>, args: &ServerArgs) -> Result<Remote, Failure> {
    let said = |flag: &Option<String>, name| {
        let variable = scene.environment.get(name).filter(|text| !text.is_empty());
        flag.clone().or_else(|| variable.map(str::to_owned))
    };
    let key = said(&args.key, "FERROBASE_KEY");
    if let Some(url) = said(&args.url, "FERROBASE_URL") {
        let key = key.ok_or_else(|| {
            let next = "Add --key, or set FERROBASE_KEY.";
            failure(
                "FB4013",
                format!("{} asks for a key", look::clean(&url)),
                next,
            )
        })?;
        return Ok(Remote::new(&url, Secret::new(key))?);
    }
    let workspace = scene.workspace(Mode::Dev, [])?;
    let running = status::running(&workspace)?;
    let own = running.values.get("SERVICE_ROLE_KEY");
    let own = own.and_then(Value::as_str).unwrap_or_default();
    let key = key.unwrap_or_else(|| own.to_owned());
    Ok(Remote::new(&running.api_url, Secret::new(key))?)
}

/// Changes each of the jobs, and tells how many others went with it.
async fn change(
    output: Output,
    remote: &Remote,
    jobs: &[String],
    verb: &str,
    body: &Value,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for job in jobs {
        let path = format!("/jobs/v1/jobs/{}/{verb}", look::id(job)?);
        let changed = remote.post(&path, body).await?;
        let changed = changed.get("changed").and_then(Value::as_array);
        let changed = changed.cloned().unwrap_or_default();
        if !output.json {
            output.line(&told(job, &changed))?;
        }
        all.extend(changed);
    }
    if output.json {
        return output.value(&all.into());
    }
    Ok(())
}

fn told(job: &str, changed: &[Value]) -> String {
    let own = changed
        .iter()
        .find(|one| look::text(one, "id") == job)
        .map(|one| look::text(one, "state"));
    let state = own.unwrap_or("as it was");
    match changed.len().saturating_sub(usize::from(own.is_some())) {
        0 => format!("{job}  {state}"),
        1 => format!("{job}  {state}, and 1 other job"),
        others => format!("{job}  {state}, and {others} other jobs"),
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let message = look::clean(&error.to_string());
        match error {
            RemoteError::Address(_) => {
                failure("FB4013", message, "Write it as http://localhost:54321.")
            }
            RemoteError::Key => failure(
                "FB4013",
                message,
                "`ferrobase keys` shows the keys of the folder's project.",
            ),
            RemoteError::Unreachable { .. } | RemoteError::Stranger(_) => failure(
                "FB4014",
                message,
                "Start it with `ferrobase dev`, or name another one with --url and --key.",
            ),
            RemoteError::Refused {
                status, code, hint, ..
            } => {
                let next = hint.unwrap_or_else(|| match (status, code.as_str()) {
                    (404, _) => "`ferrobase jobs list --all` shows the jobs there are.".to_owned(),
                    (401 | 403, _) => {
                        "Use a service key, or the key and token of the jobs' owner.".to_owned()
                    }
                    (406, "PGRST106") => {
                        "Add \"work\" to [api] schemas in supabase/config.toml.".to_owned()
                    }
                    _ => "`ferrobase jobs show` tells the job's state.".to_owned(),
                });
                failure("FB4015", format!("{message} ({code})"), next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tells_how_many_went_with_it() {
        let job = json!({"id": "a", "state": "cancelled"});
        let child = json!({"id": "b", "state": "cancelled"});
        assert_eq!(told("a", &[]), "a  as it was");
        assert_eq!(told("a", std::slice::from_ref(&job)), "a  cancelled");
        assert_eq!(
            told("a", &[job.clone(), child.clone()]),
            "a  cancelled, and 1 other job"
        );
        assert_eq!(
            told("a", &[job, child.clone(), child]),
            "a  cancelled, and 2 other jobs"
        );
    }
}
