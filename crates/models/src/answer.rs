//! An answer that has begun: what was said before it was handed over, then the
//! rest under the meter's eyes; or one that was given before and is repeated.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt as _;
use futures_util::stream;
use uuid::Uuid;

use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, ChatStream};
use crate::ledger::{Meter, Outcome, Receipt};
use crate::limits::Place;
use crate::route::{Candidate, DEMO};
use crate::store::{Kept, Ticket};

/// An answer that has begun.
pub struct Answer {
    /// What is said.
    pub stream: ChatStream,
    /// Who says it.
    pub head: Head,
    /// What it came to, once its `End` has come.
    pub receipt: Arc<OnceLock<Receipt>>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The row in the ledger.
    pub call: Uuid,
    /// The operator's name of the provider.
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    /// Tries.
    pub attempts: u32,
    /// It was said before, and is only repeated.
    pub cached: bool,
}

impl Head {
    /// Whether it is the script that answers, and no model.
    #[must_use]
    pub fn is_scripted(&self) -> bool {
        self.provider == DEMO
    }
}

/// A try that has said something.
pub(crate) struct Spoke {
    pub(crate) stream: ChatStream,
    pub(crate) words: VecDeque<ChatEvent>,
    pub(crate) place: Place,
}

/// The rest of the answer.
struct Rest {
    waiting: VecDeque<ChatEvent>,
    stream: ChatStream,
    meter: Meter,
    over: bool,
    // Free for others when the answer is.
    _place: Place,
}

pub(crate) fn under_way(
    begun: Spoke,
    failed: VecDeque<ChatEvent>,
    candidate: &Candidate,
    meter: Meter,
) -> Answer {
    let head = Head {
        call: meter.ticket().call,
        provider: candidate.route.provider.to_string(),
        model: candidate.route.model.to_string(),
        attempts: meter.attempts(),
        cached: false,
    };
    let receipt = Arc::clone(meter.receipt());
    let mut waiting = failed;
    waiting.extend(begun.words);
    let rest = Rest {
        waiting,
        stream: begun.stream,
        meter,
        over: false,
        _place: begun.place,
    };
    let stream = stream::unfold(rest, |mut rest| async move {
        let item = rest.next().await?;
        Some((item, rest))
    });
    Answer {
        stream: stream.boxed(),
        head,
        receipt,
    }
}

impl Rest {
    async fn next(&mut self) -> Option<Result<ChatEvent, ModelError>> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(Ok(self.passed(event).await));
        }
        if self.over {
            return None;
        }
        match self.stream.next().await.unwrap_or_else(|| Err(cut())) {
            Ok(event) => {
                self.meter.see(&event);
                Some(Ok(self.passed(event).await))
            }
            Err(mut error) => {
                self.over = true;
                // What was said cannot be taken back, so nobody tries again here.
                error.should_retry = Some(false);
                self.meter.settle(Outcome::Failed(&error)).await;
                Some(Err(error))
            }
        }
    }

    /// The row is there before the caller knows that the answer is over.
    async fn passed(&mut self, event: ChatEvent) -> ChatEvent {
        if let ChatEvent::End(reason) = &event {
            self.over = true;
            self.meter.settle(Outcome::Ended(*reason)).await;
        }
        event
    }
}

/// An answer that was given before.
pub(crate) fn repeated(ticket: Ticket, kept: Kept) -> Answer {
    let head = Head {
        call: ticket.call,
        provider: kept.provider,
        model: kept.model,
        attempts: 0,
        cached: true,
    };
    let receipt = Receipt {
        cost: kept.cost,
        usage: kept.usage,
    };
    Answer {
        stream: stream::iter(kept.events.into_iter().map(Ok)).boxed(),
        head,
        receipt: Arc::new(OnceLock::from(receipt)),
    }
}

pub(crate) fn cut() -> ModelError {
    ModelError::new(
        ModelErrorKind::Truncated,
        "the provider's answer ended without its last word",
    )
}
