//! The coder's files: written by the model as a paid step, then put into the
//! session, all of them or none.

use jobs::{Paid, Step, Stop};
use pg::SqlBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::Asking;
use super::planning::Plan;
use super::{Input, Turn, stop};
use crate::answer::{self, CodeChanges};
use crate::files;
use crate::ports::Role;
use crate::prompt;

/// US dollars that an answer is expected to cost: some ten thousand tokens.
const ESTIMATE: f64 = 0.10;

/// What became of the question. An answer that cannot be used was paid for as
/// well, so it is kept like a good one.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Written {
    #[serde(default)]
    changes: CodeChanges,
    /// Why it cannot be used.
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    model: String,
}

pub(super) async fn generate(turn: Turn, input: Input) -> Result<Value, Stop> {
    let conversation = turn.conversation(&input).await?;
    let plan: Option<Plan> = match turn.result_of("plan", "plan").await? {
        Some(plan) => Some(serde_json::from_value(plan)?),
        None => None,
    };
    let plan = plan.map(|plan| plan.text).unwrap_or_default();
    let sources = files::sources(&turn.app.store, &turn.caller, turn.session)
        .await
        .map_err(stop)?;
    let asking = Asking {
        step: "generate",
        role: Role::Coder,
        system: prompt::CODER,
        said: prompt::coding(
            conversation.history(),
            &conversation.request,
            &plan,
            &sources,
        ),
        schema: Some((answer::SCHEMA_NAME, answer::schema())),
    };
    let step = Step {
        version: "1".to_owned(),
        estimate: Some((ESTIMATE, "usd")),
        ..Step::default()
    };
    let asked = &turn;
    let written: Written = turn
        .ctx
        .paid_step("generate", step, |call| async move {
            let answer = asked.ask(&call, asking).await?;
            let value = answer.value.unwrap_or_default();
            let (changes, refused) = match CodeChanges::read(value) {
                Ok(changes) if changes.is_empty() => {
                    (changes, Some("the answer changes nothing".to_owned()))
                }
                Ok(changes) => (changes, None),
                Err(why) => (CodeChanges::default(), Some(why)),
            };
            Ok(Paid {
                result: Written {
                    changes,
                    refused,
                    model: answer.model,
                },
                cost: Some(answer.cost),
                usage: Some(answer.usage),
            })
        })
        .await?;
    if let Some(why) = written.refused {
        return Err(Stop::fatal(format!(
            "The coder's answer cannot be used: {why}"
        )));
    }
    let changes = written.changes;
    let files: Vec<Value> = changes
        .files
        .iter()
        .map(|file| json!({"path": file.path, "bytes": file.content.len()}))
        .collect();
    Ok(json!({
        "model": written.model, "plan": changes.plan, "files": files, "deleted_files": changes.deleted_files,
        "package_json": !changes.package_json.is_empty()
    }))
}

/// Files become the session's in one transaction. Done again it changes
/// nothing: contents are whole.
pub(super) async fn apply(turn: Turn, _input: Input) -> Result<Value, Stop> {
    let kept = turn.result_of("generate", "generate").await?;
    let kept = kept.ok_or_else(|| Stop::fatal("nothing was written that could be applied"))?;
    let written: Written = serde_json::from_value(kept)?;
    let (store, caller) = (&turn.app.store, &turn.caller);
    let known = files::list(store, caller, turn.session)
        .await
        .map_err(stop)?;
    let known: Vec<String> = known.into_iter().map(|file| file.path).collect();
    let changes = written.changes.changes(&known);
    if changes.is_empty() {
        return Ok(json!({"changed": []}));
    }
    let job = turn.ctx.job();
    let sql = SqlBuf::fixed(include_str!("../../sql/apply_files.sql"))
        .bind(turn.session.to_string())
        .bind(Value::from(changes).to_string())
        .bind(job.id.to_string())
        .bind(job.epoch.to_string());
    let done: Option<Value> = store
        .document(caller, "Failed to write the files", sql)
        .await
        .map_err(stop)?;
    // Stopped, or given to another worker.
    let done = done.ok_or(Stop::Lost)?;
    Ok(json!({"changed": done}))
}
