//! Texts to vectors: the same plan, tries and meter as for chat, without a
//! stream.

use serde_json::json;

use crate::answer::Head;
use crate::asker::Asker;
use crate::budget::{self, Estimate};
use crate::cache::{self, ANSWER_BYTES_MAX};
use crate::error::{ModelError, ModelErrorKind};
use crate::ledger::{today, write};
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
        let made = self.tries(&plan.chain, plan.tries, &asker, &wanted).await;
        self.settle_embedding(ticket, made, asker.token.is_some())
            .await
    }

    async fn tries(
        &self,
        chain: &[Candidate],
        each: u32,
        asker: &Asker,
        wanted: &EmbedRequest,
    ) -> Tried {
        let mut tries = Tries::new(chain.len(), each);
        loop {
            let Some(candidate) = chain.get(tries.at()) else {
                let error = ModelError::new(ModelErrorKind::NoProvider, "nobody is left to ask");
                return Tried::failed(&tries, None, error);
            };
            let last = tries.at() + 1 == chain.len();
            let error = match self.embed_once(candidate, asker, wanted, last).await {
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
        let made = port.wire.embed(call).await;
        port.gate
            .report(now(), made.as_ref().err().map(|error| error.kind));
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
    ) -> Result<Embedded, ModelError> {
        let day = today(&self.books.clock);
        let usage = tried
            .made
            .as_ref()
            .map(|made| made.usage.clone())
            .unwrap_or_default();
        let bill = match (&tried.candidate, &tried.made) {
            (Some(candidate), Ok(_)) => budget::bill(candidate, &usage, day),
            _ => budget::Bill {
                cost: Some(0.0),
                charged: 0.0,
            },
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
