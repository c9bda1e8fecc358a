//! The gateway's rows. What they mean is in functions of schema `ai_engine`;
//! this file calls them and reads what they say.

use std::sync::Arc;
use std::time::Duration;

use kernel::Caller;
use pg::{Error, Pool, RequestTx, Rows, SqlBuf};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::budget::Estimate;
use crate::event::ChatEvent;

/// None of these statements takes seconds.
const STATEMENT_TIME: &str = "20s";
/// Rows of one transaction of a duty: it must not hold calls up.
const AT_ONCE: u32 = 500;

/// The rows.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: Pool,
    role: Arc<str>,
    requests: Pool,
}

/// What is said of a call before it is made.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) owner: Option<String>,
    pub(crate) api_key: Option<Uuid>,
    pub(crate) session: Option<Uuid>,
    pub(crate) job: Option<Uuid>,
    pub(crate) step: Option<String>,
    pub(crate) token: Option<Uuid>,
    /// Of the request; tells calls with one token apart.
    pub(crate) digest: String,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) estimate: Estimate,
    /// How long it can take at most.
    pub(crate) lasts: Duration,
}

/// A call in the ledger, and which try of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) call: Uuid,
    pub(crate) number: i32,
}

/// Whether a call may be made.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It may.
    Go(Ticket),
    /// It was made before.
    Known(Ticket, Kept),
    /// A budget refuses it.
    Refused(Refusal),
}

/// The budget that refuses a call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Refusal {
    scope: String,
    period: String,
    unit: String,
    limit: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, limit, scope) = (&self.unit, &self.limit, &self.scope);
        match self.period.as_str() {
            "total" => write!(f, "the budget of this {scope} is used up: {limit} {unit}"),
            period => write!(
                f,
                "the budget of this {scope} for the {period} is used up: {limit} {unit}"
            ),
        }
    }
}

/// An answer as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) provider: String,
    pub(crate) model: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<ChatEvent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) vectors: Vec<Vec<f32>>,
    /// What it did cost.
    pub(crate) cost: Option<f64>,
    #[serde(default)]
    pub(crate) usage: crate::usage::Usage,
}

impl Store {
    pub(crate) fn new(pool: Pool, role: Arc<str>, requests: Pool) -> Self {
        Self {
            pool,
            role,
            requests,
        }
    }

    /// Begins a call.
    pub(crate) async fn begin(&self, opening: &Opening) -> Result<Begun, Error> {
        let Estimate {
            cost,
            tokens,
            sent_cost,
            sent_tokens,
        } = opening.estimate;
        let said = json!({
            "owner": opening.owner, "api_key": opening.api_key, "session": opening.session,
            "job": opening.job, "step": opening.step, "token": opening.token,
            "digest": opening.digest, "kind": opening.kind, "target": opening.target,
            "cost": dollars(cost), "tokens": tokens,
            "sent_cost": dollars(sent_cost), "sent_tokens": sent_tokens,
            "lasts": seconds(opening.lasts),
        });
        let sql = SqlBuf::fixed(include_str!("sql/begin.sql")).bind(storable(said.to_string()));
        // What a crash of the database itself loses here is a reservation, and
        // the call with it.
        let rows = self.run(sql, opening.token.is_none()).await?;
        let odd = || Error::Protocol("ai_engine.begin() said nothing".to_owned());
        let row = rows.first().ok_or_else(odd)?;
        let ticket = Ticket {
            call: row.get(0).and_then(|id| id.parse().ok()).ok_or_else(odd)?,
            number: row.get(1).and_then(|n| n.parse().ok()).ok_or_else(odd)?,
        };
        if let Some(refused) = row.get(2) {
            let refusal = serde_json::from_str(refused).map_err(|_| odd())?;
            return Ok(Begun::Refused(refusal));
        }
        // An answer of another version that means nothing here is asked for again.
        let known = row.get(3).and_then(|kept| serde_json::from_str(kept).ok());
        Ok(known.map_or(Begun::Go(ticket), |kept| Begun::Known(ticket, kept)))
    }

    /// Reserves for another model; says which budget refuses.
    pub(crate) async fn hold_more(
        &self,
        ticket: Ticket,
        estimate: Estimate,
    ) -> Result<Option<Refusal>, Error> {
        let sql = SqlBuf::fixed(include_str!("sql/hold_more.sql"))
            .bind(ticket.call.to_string())
            .bind(ticket.number.to_string())
            .bind(dollars(estimate.cost))
            .bind(estimate.tokens.to_string())
            .bind(dollars(estimate.sent_cost))
            .bind(estimate.sent_tokens.to_string());
        let rows = self.run(sql, true).await?;
        Ok(rows
            .scalar()
            .and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Ends a call.
    pub(crate) async fn settle(&self, ticket: Ticket, settled: &Settled) -> Result<(), Error> {
        let sql = SqlBuf::fixed(include_str!("sql/settle.sql"))
            .bind(ticket.call.to_string())
            .bind(ticket.number.to_string())
            .bind(storable(settled.told.to_string()))
            .bind(settled.counted.to_string())
            .bind(settled.answer.clone().map(storable));
        self.run(sql, false).await.map(drop)
    }

    /// An answer that is not older than this.
    pub(crate) async fn cached(&self, key: &str, age: Duration) -> Result<Option<Kept>, Error> {
        let sql = SqlBuf::fixed(include_str!("sql/cached.sql"))
            .bind(key.to_owned())
            .bind(seconds(age));
        let rows = self.run(sql, true).await?;
        Ok(rows
            .scalar()
            .and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Keeps an answer.
    pub(crate) async fn keep(
        &self,
        key: &str,
        owner: Option<&str>,
        answer: String,
    ) -> Result<(), Error> {
        let sql = SqlBuf::fixed(include_str!("sql/keep.sql"))
            .bind(key.to_owned())
            .bind(owner.map(str::to_owned))
            .bind(storable(answer));
        self.run(sql, true).await.map(drop)
    }

    /// Gives back what nobody settles any more, up to a number. Says how many.
    pub(crate) async fn sweep(&self) -> Result<u64, Error> {
        let mut swept = 0;
        // One in each transaction: more would lock budgets in another order
        // than calls that begin do, and they would wait for each other.
        for _ in 0..AT_ONCE {
            let sql = SqlBuf::fixed(include_str!("sql/sweep.sql")).bind("1".to_owned());
            let rows = self.run(sql, false).await?;
            match rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0) {
                0 => break,
                n => swept += n,
            }
        }
        Ok(swept)
    }

    /// Removes what has had its time. Says how many rows.
    pub(crate) async fn prune(&self, keep: Keep) -> Result<u64, Error> {
        let sql = SqlBuf::fixed(include_str!("sql/prune.sql"))
            .bind(AT_ONCE.to_string())
            .bind(seconds(keep.calls))
            .bind(seconds(keep.answers))
            .bind(seconds(keep.cache));
        let rows = self.run(sql, false).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// Whether the caller has this session, by the policies of the database.
    pub(crate) async fn has_session(&self, caller: &Caller, id: Uuid) -> Result<bool, Error> {
        let sql = SqlBuf::fixed(include_str!("sql/own_session.sql")).bind(id.to_string());
        Ok(self.as_caller(caller, sql).await?.scalar().is_some())
    }

    /// What the caller's calls used, as JSON.
    pub(crate) async fn spent(
        &self,
        caller: &Caller,
        session: Option<Uuid>,
    ) -> Result<String, Error> {
        let session = session.map(|id| id.to_string());
        let sql = SqlBuf::fixed(include_str!("sql/spent.sql")).bind(session);
        let rows = self.as_caller(caller, sql).await?;
        Ok(rows.scalar().unwrap_or("{}").to_owned())
    }

    async fn as_caller(&self, caller: &Caller, sql: SqlBuf) -> Result<Rows, Error> {
        let mut request = RequestTx::of(caller, &[]);
        request.read_only();
        request.set("statement_timeout", STATEMENT_TIME).push(sql);
        let rows = request.run(&self.requests).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    async fn run(&self, sql: SqlBuf, may_be_lost: bool) -> Result<Rows, Error> {
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request.set("statement_timeout", STATEMENT_TIME);
        if may_be_lost {
            request.set("synchronous_commit", "off");
        }
        request.push(sql);
        let rows = request.run(&self.pool).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }
}

/// How a call ended, as the ledger has it.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// Columns of `ai.calls` by name.
    pub(crate) told: Value,
    /// Tokens that budgets count.
    pub(crate) counted: u64,
    /// The answer, for calls with a token.
    pub(crate) answer: Option<String>,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) calls: Duration,
    pub(crate) answers: Duration,
    pub(crate) cache: Duration,
}

/// JSON as `jsonb` takes it: it has no NUL, which models and clients may say.
fn storable(text: String) -> String {
    if !text.contains("\\u0000") {
        return text;
    }
    let value = serde_json::from_str(&text).map(without_nul);
    value.map_or(text, |value| value.to_string())
}

fn without_nul(value: Value) -> Value {
    let plain = |text: String| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(plain(text)),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            let members = members.map(|(name, value)| (plain(name), without_nul(value)));
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// An amount as `numeric` reads it, without the noise of binary fractions.
pub(crate) fn dollars(amount: f64) -> String {
    format!("{:.9}", if amount.is_finite() { amount } else { 0.0 })
}

fn seconds(span: Duration) -> String {
    format!("{} seconds", span.as_secs_f64())
}
