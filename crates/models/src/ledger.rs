//! The meter: one for every call, whatever its route, whoever asks and however
//! it ends. It watches what a provider says and settles once: at the end, at a
//! failure, or when whoever asked has gone, which it notices by being dropped.
//!
//! Start at [`Meter`].

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use kernel::{Clock, Tasks};
use serde_json::json;

use crate::budget::{self, Bill};
use crate::cache::ANSWER_BYTES_MAX;
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, StopReason};
use crate::route::Candidate;
use crate::store::{Kept, Settled, Store, Ticket, dollars};
use crate::usage::Usage;

/// Tries to write a row down before it is left to the sweep.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What a call came to, once it is settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// US dollars; none when nobody knows the price.
    pub cost: Option<f64>,
    /// What it used.
    pub usage: Usage,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    Ended(StopReason),
    Failed(&'a ModelError),
    Gone,
}

/// What the meter needs of the room.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
}

/// Watches one call.
pub(crate) struct Meter {
    books: Books,
    ticket: Ticket,
    began: Instant,
    first: Option<Duration>,
    /// Our own count of the input.
    input: u64,
    asked: Option<Candidate>,
    attempts: u32,
    /// Whether the present try has failed, and is billed all the same.
    failed: Option<bool>,
    /// What failed tries have cost.
    before: Bill,
    before_tokens: u64,
    usage: Option<Usage>,
    said: usize,
    /// What is kept of the answer; none when nobody will want it again.
    kept: Option<Vec<ChatEvent>>,
    kept_bytes: usize,
    cache: Option<(String, Option<String>)>,
    receipt: Arc<OnceLock<Receipt>>,
    settled: bool,
}

impl Meter {
    pub(crate) fn new(books: Books, ticket: Ticket, input: u64) -> Self {
        let nothing = Bill {
            cost: Some(0.0),
            charged: 0.0,
        };
        Self {
            books,
            ticket,
            began: Instant::now(),
            first: None,
            input,
            asked: None,
            attempts: 0,
            failed: None,
            before: nothing,
            before_tokens: 0,
            usage: None,
            said: 0,
            kept: None,
            kept_bytes: 0,
            cache: None,
            receipt: Arc::default(),
            settled: false,
        }
    }

    /// Keeps the answer: for the call's token, and in the cache under this key.
    pub(crate) fn keep(&mut self, cache: Option<(String, Option<String>)>) {
        self.kept = Some(Vec::new());
        self.cache = cache;
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn receipt(&self) -> &Arc<OnceLock<Receipt>> {
        &self.receipt
    }

    /// One more try, at this candidate. What the last one used stays counted.
    pub(crate) fn attempt(&mut self, candidate: &Candidate) {
        self.write_off();
        self.attempts += 1;
        self.failed = None;
        self.asked = Some(candidate.clone());
    }

    /// The present try has failed before anything was said.
    pub(crate) fn fail(&mut self, error: &ModelError) {
        self.failed = Some(error.is_billed());
    }

    /// A try has failed; providers bill what they have said they counted, and
    /// the input if they had it.
    fn write_off(&mut self) {
        let billed = self.failed == Some(true);
        let usage = self.usage.take();
        let usage = usage.or_else(|| billed.then(|| self.guess(true)));
        if let (Some(usage), Some(asked)) = (usage, &self.asked) {
            let bill = budget::bill(asked, &usage, self.today());
            self.before = budget::add(self.before, bill);
            self.before_tokens += usage.total();
        }
        self.said = 0;
        self.kept_bytes = 0;
        if let Some(kept) = &mut self.kept {
            kept.clear();
        }
    }

    /// Something was said.
    pub(crate) fn see(&mut self, event: &ChatEvent) {
        if event.is_content() && self.first.is_none() {
            self.first = Some(self.began.elapsed());
        }
        self.said += said(event);
        if let ChatEvent::Usage(usage) = event {
            self.usage = Some(usage.clone());
        }
        self.remember(event);
    }

    fn remember(&mut self, event: &ChatEvent) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        self.kept_bytes += said(event) + 64;
        if self.kept_bytes > ANSWER_BYTES_MAX {
            self.kept = None;
            return;
        }
        match (kept.last_mut(), event) {
            (_, ChatEvent::Partial(_) | ChatEvent::Attempt { .. }) => {}
            (Some(ChatEvent::Text(all)), ChatEvent::Text(more))
            | (Some(ChatEvent::Reasoning(all)), ChatEvent::Reasoning(more)) => all.push_str(more),
            (Some(ChatEvent::Usage(last)), ChatEvent::Usage(usage)) => *last = usage.clone(),
            (_, event) => kept.push(event.clone()),
        }
    }

    /// Writes down how it ended, once. The row is written even if whoever waits
    /// for it goes.
    pub(crate) async fn settle(&mut self, outcome: Outcome<'_>) {
        if let Some(writing) = self.begin_settling(outcome) {
            // A panic there has been told already.
            let _ = writing.await;
        }
    }

    fn begin_settling(&mut self, outcome: Outcome<'_>) -> Option<tokio::task::JoinHandle<()>> {
        if std::mem::replace(&mut self.settled, true) {
            return None;
        }
        // Dropped when everything has stopped: the row is left to the sweep.
        tokio::runtime::Handle::try_current().ok()?;
        let (settled, receipt) = self.sum_up(outcome);
        let cache = settled.answer.clone().zip(self.cache.take());
        // Nobody else sets it.
        let _ = self.receipt.set(receipt);
        let (store, ticket) = (self.books.store.clone(), self.ticket);
        let writing = async move {
            if let Some((answer, (key, owner))) = cache
                && let Err(error) = store.keep(&key, owner.as_deref(), answer).await
            {
                tracing::warn!(%error, "An answer of a model was not kept");
            }
            write(&store, ticket, &settled).await;
        };
        Some(self.books.tasks.spawn("settle_call", writing))
    }

    fn sum_up(&mut self, outcome: Outcome<'_>) -> (Settled, Receipt) {
        let ended = matches!(outcome, Outcome::Ended(_));
        // What was not counted by the provider is counted by us: tokens that
        // came have been paid for, and so has the input once it was sent,
        // unless the provider has refused it.
        let sent = self.asked.is_some()
            && self.failed.unwrap_or(match outcome {
                Outcome::Ended(_) | Outcome::Gone => true,
                Outcome::Failed(error) => error.is_billed(),
            });
        let usage = self.usage.clone().unwrap_or_else(|| self.guess(sent));
        let nothing = Bill {
            cost: Some(0.0),
            charged: 0.0,
        };
        let last = match &self.asked {
            Some(asked) => budget::bill(asked, &usage, self.today()),
            None => nothing,
        };
        let bill = budget::add(self.before, last);
        let (word, error, stop) = match outcome {
            Outcome::Ended(stop) => ("ok", None, Some(stop.as_str())),
            Outcome::Failed(error) if error.kind == ModelErrorKind::Truncated => {
                ("truncated", Some(error.kind.code()), None)
            }
            Outcome::Failed(error) => ("error", Some(error.kind.code()), None),
            Outcome::Gone => ("cancelled", None, None),
        };
        let route = self.asked.as_ref().map(|asked| &asked.route);
        let told = json!({
            "provider": route.map(|r| &*r.provider), "model": route.map(|r| &*r.model),
            "outcome": word, "error": error, "stop": stop, "attempts": self.attempts,
            "cached": false, "estimated": usage.estimated,
            "tokens_in": usage.input, "tokens_out": usage.output,
            "tokens_cached": usage.cache_read, "tokens_cache_written": usage.cache_write,
            "tokens_reasoning": usage.reasoning,
            "cost": bill.cost.map(dollars), "cost_reported": usage.cost.map(dollars),
            "charged": dollars(bill.charged), "usage": usage.raw,
            "first_token_ms": self.first.map(millis), "latency_ms": millis(self.began.elapsed()),
        });
        let answer = ended.then(|| self.answer(bill.cost, &usage)).flatten();
        let settled = Settled {
            told,
            counted: usage.total() + self.before_tokens,
            answer,
        };
        let receipt = Receipt {
            cost: bill.cost,
            usage,
        };
        (settled, receipt)
    }

    fn guess(&self, sent: bool) -> Usage {
        Usage {
            input: if sent || self.said > 0 { self.input } else { 0 },
            output: budget::text_tokens(self.said),
            estimated: true,
            ..Usage::default()
        }
    }

    fn answer(&mut self, cost: Option<f64>, usage: &Usage) -> Option<String> {
        let events = self.kept.take()?;
        let route = &self.asked.as_ref()?.route;
        let kept = Kept {
            provider: route.provider.to_string(),
            model: route.model.to_string(),
            events,
            vectors: Vec::new(),
            cost,
            usage: usage.clone(),
        };
        serde_json::to_string(&kept).ok()
    }

    fn today(&self) -> Date {
        today(&self.books.clock)
    }
}

/// Whoever asked has gone: what came so far is paid for.
impl Drop for Meter {
    fn drop(&mut self) {
        drop(self.begin_settling(Outcome::Gone));
    }
}

/// The day by which prices count.
pub(crate) fn today(clock: &Clock) -> Date {
    clock.now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

pub(crate) async fn write(store: &Store, ticket: Ticket, settled: &Settled) {
    let mut pause = PAUSE;
    for left in (0..TRIES).rev() {
        match store.settle(ticket, settled).await {
            Ok(()) => return,
            Err(error) if left == 0 => {
                let call = ticket.call;
                tracing::error!(%error, %call, "A call to a model is not in the ledger as it ended");
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
}

fn said(event: &ChatEvent) -> usize {
    match event {
        ChatEvent::Text(text)
        | ChatEvent::Reasoning(text)
        | ChatEvent::ReasoningSignature(text) => text.len(),
        ChatEvent::ToolArgs { delta, .. } => delta.len(),
        ChatEvent::ToolStart { name, .. } => name.len(),
        _ => 0,
    }
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}
