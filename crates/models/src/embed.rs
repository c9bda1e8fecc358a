//! Texts to vectors: the same plan, tries and meter as for chat, without a
//! stream.

use jiff::civil::Date;
use serde_json::json;

use crate::answer::Head;
use crate::asker::Asker;
use crate::budget::{self, Estimate};
use crate::cache::{self, ANSWER_BYTES_MAX};
use crate::error::{ModelError, ModelErrorKind};
use crate::ledger::{Books, today, write};
use crate::room::{Identity, Models, broken};
use crate::route::{Candidate, Needs, Next, Tries, plan};
use crate::store::{Begun, Kept, Opening, Settled, Ticket, dollars};
use crate::usage::Usage;
use crate::wires::{EmbedCall, Embeddings};

/// Texts of one request, as the largest providers have it.
pub(crate) const TEXTS_MAX: usize = 2048;

/// What is to be turned into vectors.
#[derive(Clone, Debug, Default)]
pub struct EmbedRequest {
    /// A role such as `embed`, or `provider/model`.
    pub target: String,
    /// The texts.
    pub texts: Vec<String>,
    /// How long the vectors should be.
    pub dimensions: Option<u32>,
}

/// Vectors for texts, in their order.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// Who made them.
    pub head: Head,
    /// One for each text.
    pub vectors: Vec<Vec<f32>>,
    /// What it took.
    pub usage: Usage,
    /// US dollars; none when nobody knows.
    pub cost: Option<f64>,
}

impl Models {
    /// Turns texts into vectors.
    pub async fn embed(&self, asker: Asker, wanted: EmbedRequest) -> Result<Embedded, ModelError> {
        if wanted.texts.is_empty() || wanted.texts.len() > TEXTS_MAX {
            let message = format!("expected 1 to {TEXTS_MAX} texts");
            return Err(ModelError::new(ModelErrorKind::BadRequest, message));
        }
        let bytes = wanted.texts.iter().map(String::len).sum();
        let input = budget::text_tokens(bytes) + wanted.texts.len() as u64;
        let needs = Needs {
            embed: true,
            ..Needs::default()
        };
        let plan = plan(&self.map, &wanted.target, needs, self.chance())?;
        if let Some(session) = asker.session {
            self.own_session(&asker, session).await?;
        }
        let day = today(&self.books.clock);
        let priced = |c: &Candidate| budget::estimate(c, input, 0, day);
        // Nobody is wanted later who costs more than what is reserved now.
        let dearest = plan.chain.iter().map(priced);
        let estimate = dearest.fold(
            Estimate::default(),
            |a, b| if b.cost > a.cost { b } else { a },
        );
        let identity = Identity::of(&asker);
        let opening = Opening {
            owner: identity.owner,
            api_key: identity.api_key,
            session: asker.session,
            job: asker.job,
            step: asker.step.clone(),
            token: asker.token,
            digest: cache::of_texts(&wanted.target, &wanted.texts, wanted.dimensions),
            kind: "embed",
            target: wanted.target.chars().take(400).collect(),
            estimate,
            lasts: self.lasts(&plan.chain) * plan.tries,
        };
        let ticket = match self.books.store.begin(&opening).await {
            Ok(Begun::Go(ticket)) => ticket,
            Ok(Begun::Known(ticket, kept)) => return Ok(repeated(ticket, kept)),
            Ok(Begun::Refused(refusal)) => {
                let kind = ModelErrorKind::BudgetExceeded;
                return Err(ModelError::new(kind, refusal.to_string()));
            }
            Err(error) => return Err(broken(&error)),
        };
        let mut open = Open {
            books: self.books.clone(),
            ticket: Some(ticket),
            input,
            asked: None,
        };
        let made = self
            .tries(&plan.chain, plan.tries, &asker, &wanted, &mut open)
            .await;
        // From here it is settled below, before anything is waited for.
        open.ticket = None;
        self.settle_embedding(ticket, made, asker.token.is_some(), input)
            .await
    }

    async fn tries(
        &self,
        chain: &[Candidate],
        each: u32,
        asker: &Asker,
        wanted: &EmbedRequest,
        open: &mut Open,
    ) -> Tried {
        let mut tries = Tries::new(chain.len(), each);
        loop {
            let Some(candidate) = chain.get(tries.at()) else {
                let error = ModelError::new(ModelErrorKind::NoProvider, "nobody is left to ask");
                return Tried::failed(&tries, None, error);
            };
            let last = tries.at() + 1 == chain.len();
            let error = match self.embed_once(candidate, asker, wanted, last, open).await {
                Ok(made) => {
                    return Tried {
                        attempts: tries.number(),
                        candidate: Some(candidate.clone()),
                        made: Ok(made),
                    };
                }
                Err(error) => error,
            };
            match tries.after(&error) {
                Next::Again(pause) => tokio::time::sleep(pause).await,
                Next::Fallback => {}
                Next::Stop => return Tried::failed(&tries, Some(candidate), error),
            }
        }
    }

    async fn embed_once(
        &self,
        candidate: &Candidate,
        asker: &Asker,
        wanted: &EmbedRequest,
        last: bool,
        open: &mut Open,
    ) -> Result<Embeddings, ModelError> {
        let Some(port) = self.ports.get(&candidate.route.provider) else {
            let message = "the provider is not configured";
            return Err(ModelError::new(ModelErrorKind::NoProvider, message));
        };
        let now = || self.books.clock.now();
        let _place = port.gate.enter(now(), !last).await?;
        let call = EmbedCall {
            model: candidate.route.model.to_string(),
            texts: wanted.texts.clone(),
            dimensions: wanted.dimensions,
            token: asker.token.map(|token| {
                let digest = cache::of_texts(&wanted.target, &wanted.texts, wanted.dimensions);
                cache::derived(token, &digest, &candidate.route)
            }),
        };
        open.asked = Some(candidate.clone());
        let made = port.wire.embed(call).await;
        // A failure that costs nothing leaves nothing to pay for in the pause.
        if made.as_ref().is_err_and(|error| !error.is_billed()) {
            open.asked = None;
        }
        port.gate.report(now(), made.as_ref().err());
        let made = made?;
        if made.vectors.len() != wanted.texts.len() {
            let message = "the provider sent another number of vectors than there are texts";
            return Err(ModelError::new(ModelErrorKind::Protocol, message));
        }
        Ok(made)
    }

    async fn settle_embedding(
        &self,
        ticket: Ticket,
        tried: Tried,
        keep: bool,
        input: u64,
    ) -> Result<Embedded, ModelError> {
        let day = today(&self.books.clock);
        let (usage, bill) = match (&tried.candidate, &tried.made) {
            (Some(candidate), Ok(made)) => {
                let usage = made.usage.clone();
                let bill = budget::bill(candidate, &usage, day);
                (usage, bill)
            }
            (Some(candidate), Err(error)) if error.is_billed() => sent(candidate, input, day),
            _ => (Usage::default(), NOTHING),
        };
        let route = tried.candidate.as_ref().map(|candidate| &candidate.route);
        let (provider, model) = (route.map(|r| &*r.provider), route.map(|r| &*r.model));
        let error = tried.made.as_ref().err().map(|error| error.kind.code());
        let told = json!({
            "provider": provider, "model": model, "attempts": tried.attempts,
            "outcome": if error.is_none() { "ok" } else { "error" }, "error": error,
            "cached": false, "estimated": usage.estimated,
            "tokens_in": usage.input, "tokens_out": 0,
            "cost": bill.cost.map(dollars), "cost_reported": usage.cost.map(dollars),
            "charged": dollars(bill.charged), "usage": usage.raw,
        });
        let kept = tried.made.as_ref().ok().filter(|_| keep).map(|made| Kept {
            provider: provider.unwrap_or_default().to_owned(),
            model: model.unwrap_or_default().to_owned(),
            events: Vec::new(),
            vectors: made.vectors.clone(),
            cost: bill.cost,
            usage: usage.clone(),
        });
        let answer = kept.and_then(|kept| serde_json::to_string(&kept).ok());
        let settled = Settled {
            told,
            counted: usage.total(),
            answer: answer.filter(|answer| answer.len() <= ANSWER_BYTES_MAX),
        };
        // Written down even if whoever waits for it goes.
        let store = self.books.store.clone();
        let writing = async move { write(&store, ticket, &settled).await };
        let _ = self.books.tasks.spawn("settle_embedding", writing).await;
        let made = tried.made?;
        Ok(Embedded {
            head: Head {
                call: ticket.call,
                provider: provider.unwrap_or_default().to_owned(),
                model: model.unwrap_or_default().to_owned(),
                attempts: tried.attempts,
                cached: false,
            },
            vectors: made.vectors,
            usage,
            cost: bill.cost,
        })
    }
}

const NOTHING: budget::Bill = budget::Bill {
    cost: Some(0.0),
    charged: 0.0,
};

/// What was sent, by our own count, and what that costs.
fn sent(candidate: &Candidate, input: u64, day: Date) -> (Usage, budget::Bill) {
    let usage = Usage {
        input,
        estimated: true,
        ..Usage::default()
    };
    let bill = budget::bill(candidate, &usage, day);
    (usage, bill)
}

/// A call under way. Whoever asked may go, which it notices by being dropped:
/// then it is settled here, and what was sent is paid for.
struct Open {
    books: Books,
    /// None once it is settled elsewhere.
    ticket: Option<Ticket>,
    input: u64,
    asked: Option<Candidate>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // When everything has stopped, the row is left to the sweep.
        let (Some(ticket), Ok(_)) = (self.ticket, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let day = today(&self.books.clock);
        let asked = self.asked.as_ref();
        let (usage, bill) = asked.map_or((Usage::default(), NOTHING), |candidate| {
            sent(candidate, self.input, day)
        });
        let route = asked.map(|candidate| &candidate.route);
        let settled = Settled {
            told: json!({
                "provider": route.map(|r| &*r.provider), "model": route.map(|r| &*r.model),
                "attempts": u8::from(asked.is_some()), "outcome": "cancelled",
                "cached": false, "estimated": true,
                "tokens_in": usage.input, "tokens_out": 0,
                "cost": bill.cost.map(dollars), "charged": dollars(bill.charged),
            }),
            counted: usage.total(),
            answer: None,
        };
        let store = self.books.store.clone();
        let writing = async move { write(&store, ticket, &settled).await };
        drop(self.books.tasks.spawn("settle_embedding", writing));
    }
}

/// What came of all tries.
struct Tried {
    attempts: u32,
    candidate: Option<Candidate>,
    made: Result<Embeddings, ModelError>,
}

impl Tried {
    fn failed(tries: &Tries, candidate: Option<&Candidate>, error: ModelError) -> Self {
        Self {
            attempts: tries.number(),
            candidate: candidate.cloned(),
            made: Err(error),
        }
    }
}

fn repeated(ticket: Ticket, kept: Kept) -> Embedded {
    Embedded {
        head: Head {
            call: ticket.call,
            provider: kept.provider,
            model: kept.model,
            attempts: 0,
            cached: true,
        },
        vectors: kept.vectors,
        usage: kept.usage,
        cost: kept.cost,
    }
}
