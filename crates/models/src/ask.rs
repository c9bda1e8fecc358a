//! One call, from question to answer: whom to ask, what may be spent, the
//! tries until something is said, and the answer under the meter's eyes.
//!
//! The commit point is the first content: before it a failure leads to another
//! try that nobody notices; after it never, since what was said cannot be
//! unsaid. Start at [`Models::ask`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use uuid::Uuid;

use crate::answer::{Answer, Spoke, cut, repeated, under_way};
use crate::asker::Asker;
use crate::budget::{self, Estimate};
use crate::cache;
use crate::chat::ChatRequest;
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, ChatStream};
use crate::ledger::{Meter, Outcome, today};
use crate::room::{Identity, Models, broken};
use crate::route::{Candidate, Needs, Next, Plan, Tries, plan};
use crate::store::{Begun, Kept, Opening};
use crate::structured::Shape;
use crate::wires::Call;

/// Messages of one request; more is no conversation but a mistake.
const MESSAGES_MAX: usize = 10_000;
/// Tools of one request.
const TOOLS_MAX: usize = 512;

impl Models {
    /// Asks, and returns when something is said.
    pub async fn ask(&self, asker: Asker, request: ChatRequest) -> Result<Answer, ModelError> {
        check(&request)?;
        let needs = Needs::of(&request);
        let plan = plan(&self.map, &request.target, needs, self.chance())?;
        let identity = Identity::of(&asker);
        if let Some(session) = asker.session {
            self.own_session(&asker, session).await?;
        }
        let cache = Self::cache_key(&plan, &asker, &identity, &request);
        if let Some((key, _)) = &cache
            && let Some(kept) = self.cached(key).await
        {
            return self.repeat(&asker, &identity, &request, kept).await;
        }
        let estimate = self.estimate(plan.chain.first(), &plan, &request, needs.input);
        let opening = Opening {
            estimate,
            lasts: self.lasts(&plan.chain) * plan.tries,
            ..opening(&asker, &identity, &request)
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
        let mut meter = Meter::new(self.books.clone(), ticket, needs.input);
        if asker.token.is_some() || cache.is_some() {
            meter.keep(cache);
        }
        let asking = Asking {
            plan,
            request,
            token: asker.token.map(|token| (token, opening.digest)),
            held: estimate,
        };
        self.answer(asking, meter).await
    }

    /// Refuses a session that is not the asker's.
    pub(crate) async fn own_session(&self, asker: &Asker, session: Uuid) -> Result<(), ModelError> {
        // Jobs act for whoever started them. Everybody else is asked of the
        // database, where the project's own keys see every session.
        if asker.job.is_some() {
            return Ok(());
        }
        match self.books.store.has_session(&asker.caller, session).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ModelError::new(
                ModelErrorKind::BadRequest,
                "there is no such session",
            )),
            Err(error) => Err(broken(&error)),
        }
    }

    fn cache_key(
        plan: &Plan,
        asker: &Asker,
        identity: &Identity,
        request: &ChatRequest,
    ) -> Option<(String, Option<String>)> {
        let first = plan.chain.first().filter(|_| plan.cache)?;
        let owner = identity.owner.as_deref();
        let key = cache::key(owner, &asker.caller.role, &first.route, request);
        Some((key, identity.owner.clone()))
    }

    /// A cache that cannot be read is an empty one.
    async fn cached(&self, key: &str) -> Option<Kept> {
        match self.books.store.cached(key, self.cache_for).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "The cache of models' answers could not be read");
                None
            }
        }
    }

    /// An answer of the cache: a row in the ledger, and no cost.
    async fn repeat(
        &self,
        asker: &Asker,
        identity: &Identity,
        request: &ChatRequest,
        kept: Kept,
    ) -> Result<Answer, ModelError> {
        let opening = Opening {
            token: None,
            ..opening(asker, identity, request)
        };
        let begun = self.books.store.begin(&opening).await;
        let Begun::Go(ticket) = begun.map_err(|error| broken(&error))? else {
            return Err(ModelError::new(
                ModelErrorKind::BudgetExceeded,
                "a budget is used up",
            ));
        };
        let settled = crate::store::Settled {
            told: serde_json::json!({
                "provider": kept.provider, "model": kept.model, "outcome": "ok", "attempts": 0,
                "cached": true, "cost": "0", "charged": "0", "latency_ms": 0,
                "tokens_in": 0, "tokens_out": 0,
            }),
            counted: 0,
            answer: None,
        };
        crate::ledger::write(&self.books.store, ticket, &settled).await;
        let kept = Kept {
            cost: Some(0.0),
            ..kept
        };
        Ok(repeated(ticket, kept))
    }

    pub(crate) fn estimate(
        &self,
        candidate: Option<&Candidate>,
        plan: &Plan,
        request: &ChatRequest,
        input: u64,
    ) -> Estimate {
        let Some(candidate) = candidate else {
            return Estimate::default();
        };
        let asked = request.max_tokens.or(plan.max_tokens);
        let output = budget::output_tokens(candidate, asked);
        budget::estimate(candidate, input, output, today(&self.books.clock))
    }

    /// The tries, until one says something.
    async fn answer(&self, mut asking: Asking, mut meter: Meter) -> Result<Answer, ModelError> {
        let mut tries = Tries::new(asking.plan.chain.len(), asking.plan.tries);
        let mut failed = VecDeque::new();
        loop {
            let Some(candidate) = asking.plan.chain.get(tries.at()).cloned() else {
                let error = ModelError::new(ModelErrorKind::NoProvider, "nobody is left to ask");
                return Err(self.give_up(meter, error).await);
            };
            let last = tries.at() + 1 == asking.plan.chain.len();
            let error = match self
                .one_try(&mut asking, &candidate, &mut meter, last)
                .await
            {
                Ok(begun) => return Ok(under_way(begun, failed, &candidate, meter)),
                Err(Failure::Shut(error)) if tries.skip() => {
                    failed.push_back(attempt(tries.number(), &candidate, &error));
                    continue;
                }
                Err(Failure::Shut(error) | Failure::Refused(error)) => {
                    return Err(self.give_up(meter, error).await);
                }
                Err(Failure::Tried(error)) => {
                    meter.fail(&error);
                    error
                }
            };
            failed.push_back(attempt(tries.number(), &candidate, &error));
            match tries.after(&error) {
                Next::Again(pause) => self.pause(pause).await,
                Next::Fallback => {}
                Next::Stop => return Err(self.give_up(meter, error).await),
            }
        }
    }

    async fn give_up(&self, mut meter: Meter, error: ModelError) -> ModelError {
        meter.settle(Outcome::Failed(&error)).await;
        error
    }

    /// A little longer than asked, each its own: who was refused together does
    /// not come back together.
    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause.mul_f64(1.0 + self.chance() / 4.0)).await;
    }

    async fn one_try(
        &self,
        asking: &mut Asking,
        candidate: &Candidate,
        meter: &mut Meter,
        last: bool,
    ) -> Result<Spoke, Failure> {
        let Some(port) = self.ports.get(&candidate.route.provider) else {
            let message = "the provider is not configured";
            return Err(Failure::Shut(ModelError::new(
                ModelErrorKind::NoProvider,
                message,
            )));
        };
        let now = || self.books.clock.now();
        let place = port.gate.enter(now(), !last).await.map_err(Failure::Shut)?;
        self.hold_more(asking, candidate, meter)
            .await
            .map_err(Failure::Refused)?;
        meter.attempt(candidate);
        let call = Call {
            model: candidate.route.model.to_string(),
            request: Arc::new(asking.request_for(candidate)),
            token: asking.token_for(candidate),
        };
        let said = first_words(port.wire.chat(call).await, meter).await;
        port.gate.report(now(), said.as_ref().err());
        let (stream, said) = said.map_err(Failure::Tried)?;
        Ok(Spoke {
            stream,
            words: said,
            place,
        })
    }

    /// Another model may cost more than what is held.
    async fn hold_more(
        &self,
        asking: &mut Asking,
        candidate: &Candidate,
        meter: &Meter,
    ) -> Result<(), ModelError> {
        let input = asking.held.sent_tokens;
        let wanted = self.estimate(Some(candidate), &asking.plan, &asking.request, input);
        if wanted.cost <= asking.held.cost && wanted.tokens <= asking.held.tokens {
            return Ok(());
        }
        match self.books.store.hold_more(meter.ticket(), wanted).await {
            Ok(None) => {
                asking.held = wanted;
                Ok(())
            }
            Ok(Some(refusal)) => Err(ModelError::new(
                ModelErrorKind::BudgetExceeded,
                refusal.to_string(),
            )),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// What is asked, and what is held for it.
struct Asking {
    plan: Plan,
    request: ChatRequest,
    /// The step's token with the digest of the request.
    token: Option<(Uuid, String)>,
    held: Estimate,
}

impl Asking {
    /// What a provider knows the call by: the same at every try, another for
    /// another body, as the repair of an answer or another model has it.
    fn token_for(&self, candidate: &Candidate) -> Option<Uuid> {
        let (token, digest) = self.token.as_ref()?;
        Some(cache::derived(*token, digest, &candidate.route))
    }

    /// The request with the output that was reserved as its limit, where the
    /// model's own limit is known: others may refuse a number they cannot reach.
    fn request_for(&self, candidate: &Candidate) -> ChatRequest {
        let mut request = self.request.clone();
        let known = candidate
            .model
            .as_ref()
            .is_some_and(|model| model.output.is_some());
        let asked = request.max_tokens.or(self.plan.max_tokens);
        if asked.is_some() || known {
            let most = budget::output_tokens(candidate, asked);
            request.max_tokens = u32::try_from(most).ok();
        }
        request
    }
}

/// Why a try came to nothing.
enum Failure {
    /// The provider was not asked; another may be.
    Shut(ModelError),
    /// A budget refuses, so nobody is asked any more.
    Refused(ModelError),
    /// It was asked.
    Tried(ModelError),
}

/// Reads until something is said; what fails before that was never begun.
async fn first_words(
    begun: Result<ChatStream, ModelError>,
    meter: &mut Meter,
) -> Result<(ChatStream, VecDeque<ChatEvent>), ModelError> {
    let mut stream = begun?;
    let mut said = VecDeque::new();
    loop {
        let event = stream.next().await.unwrap_or_else(|| Err(cut()))?;
        meter.see(&event);
        let over = event.is_content() || matches!(event, ChatEvent::End(_));
        said.push_back(event);
        if over {
            return Ok((stream, said));
        }
    }
}

fn attempt(n: u32, candidate: &Candidate, error: &ModelError) -> ChatEvent {
    let (provider, code) = (&candidate.route.provider, error.kind.code());
    tracing::info!(%provider, code, "A try at a model failed; another may follow");
    ChatEvent::Attempt {
        n,
        provider: provider.to_string(),
        why: code.to_owned(),
    }
}

fn opening(asker: &Asker, identity: &Identity, request: &ChatRequest) -> Opening {
    Opening {
        owner: identity.owner.clone(),
        api_key: identity.api_key,
        session: asker.session,
        job: asker.job,
        step: asker.step.clone(),
        token: asker.token,
        digest: cache::of_request(request),
        kind: "chat",
        target: request.target.chars().take(400).collect(),
        estimate: Estimate::default(),
        lasts: Duration::from_secs(60),
    }
}

fn check(request: &ChatRequest) -> Result<(), ModelError> {
    let refused = |message: String| Err(ModelError::new(ModelErrorKind::BadRequest, message));
    if request.messages.is_empty() {
        return refused("`messages` is empty".to_owned());
    }
    if request.messages.len() > MESSAGES_MAX {
        return refused(format!("a request has at most {MESSAGES_MAX} messages"));
    }
    if request.tools.len() > TOOLS_MAX {
        return refused(format!("a request has at most {TOOLS_MAX} tools"));
    }
    // Before anything walks over it, streamed or not.
    if let Some(wanted) = &request.schema {
        Shape::compile(wanted)?;
    }
    Ok(())
}
