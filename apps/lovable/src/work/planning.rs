//! The plan: the planner's text, which is what the user reads as the answer.

use jobs::{Paid, Step, Stop};
use pg::SqlBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::Asking;
use super::{Input, Turn, stop};
use crate::files;
use crate::ports::{Role, Said};
use crate::prompt;

/// US dollars that a plan is expected to cost: some thousand tokens.
const ESTIMATE: f64 = 0.02;

/// A plan that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Plan {
    pub(super) text: String,
    #[serde(default)]
    model: String,
}

/// What was said up to a message.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Conversation {
    pub(super) request: String,
    history: Vec<Line>,
}

#[derive(Clone, Debug, Deserialize)]
struct Line {
    role: String,
    content: String,
}

impl Conversation {
    pub(super) fn history(&self) -> Vec<Said> {
        let said = |line: &Line| Said {
            by_model: line.role == "assistant",
            text: line.content.clone(),
        };
        self.history.iter().map(said).collect()
    }
}

impl Turn {
    /// The newest messages, and the one that is answered.
    pub(super) async fn conversation(&self, input: &Input) -> Result<Conversation, Stop> {
        let most = i64::try_from(prompt::HISTORY).unwrap_or(i64::MAX);
        let sql = SqlBuf::fixed(include_str!("../../sql/conversation.sql"))
            .bind(self.session.to_string())
            .bind(input.message.map(|id| id.to_string()))
            .bind(most.to_string());
        let what = "Failed to read the conversation";
        let read = self
            .app
            .store
            .document(&self.caller, what, sql)
            .await
            .map_err(stop)?;
        read.ok_or_else(|| Stop::fatal("the message that is to be answered is gone"))
    }
}

pub(super) async fn plan(turn: Turn, input: Input) -> Result<Value, Stop> {
    let conversation = turn.conversation(&input).await?;
    let sources = files::sources(&turn.app.store, &turn.caller, turn.session)
        .await
        .map_err(stop)?;
    let asking = Asking {
        step: "plan",
        role: Role::Planner,
        system: prompt::PLANNER,
        said: prompt::planning(conversation.history(), &conversation.request, &sources),
        schema: None,
    };
    let step = Step {
        version: "1".to_owned(),
        estimate: Some((ESTIMATE, "usd")),
        ..Step::default()
    };
    let asked = &turn;
    let plan: Plan = turn
        .ctx
        .paid_step("plan", step, |call| async move {
            let answer = asked.ask(&call, asking).await?;
            Ok(Paid {
                result: Plan {
                    text: answer.text,
                    model: answer.model,
                },
                cost: Some(answer.cost),
                usage: Some(answer.usage),
            })
        })
        .await?;
    if plan.text.trim().is_empty() {
        return Err(Stop::fatal("the planner said nothing"));
    }
    // The answer that the user reads; kept once, by its key.
    let job = turn.ctx.job().id;
    let message = json!([{"role": "assistant", "content": plan.text, "job_id": job, "key": format!("plan:{job}")}]);
    let sql = SqlBuf::fixed("SELECT count(*) FROM work.append_messages($1::uuid, $2::jsonb)")
        .bind(turn.session.to_string())
        .bind(message.to_string());
    let what = "Failed to keep the plan";
    turn.app
        .store
        .one(&turn.caller, what, sql)
        .await
        .map_err(stop)?;
    Ok(json!({"model": plan.model, "chars": plan.text.chars().count()}))
}
