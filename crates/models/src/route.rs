//! Who is asked, in which order, and what follows a failure. Pure: time,
//! chance and what is down come in as values.
//!
//! A [`RoleRoutes`] is a chain of steps; each step is one route or several with
//! weights. [`plan`] turns what was asked for into the routes that can do it;
//! [`Tries`] decides after each failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::{ChatRequest, Image, Part};
use crate::error::{ModelError, ModelErrorKind};
use crate::prices::{Ability, Book, Model};

/// The provider that is a script. It is asked only by name.
pub const DEMO: &str = "demo";
/// Its model.
pub const DEMO_MODEL: &str = "scripted-1";
/// Routes of one role; more would only make a failure slower.
pub const ROUTES_MAX: usize = 16;
/// Tries of one call over all routes: each may have cost something.
const TRIES_MAX: u32 = 8;
/// Who wants to be left alone longer than this is left, and another is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the second try at the same provider; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);

/// A provider's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The operator's name of the provider.
    pub provider: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
}

impl Route {
    /// Reads `provider/model`; a model's name may have slashes of its own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (provider, model) = text.trim().split_once('/')?;
        let fits = !provider.is_empty() && !model.is_empty();
        fits.then(|| Self {
            provider: provider.into(),
            model: model.into(),
        })
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// What a role stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRoutes {
    /// Tried one after the other; within a step, chance by weight says who is
    /// first.
    pub steps: Vec<Vec<(Route, u32)>>,
    /// Whether answers are kept for the same question of the same owner.
    pub cache: bool,
    /// The most output tokens when the request says nothing.
    pub max_tokens: Option<u32>,
    /// Tries at one route before the next.
    pub tries: u32,
}

/// Tries at one route, unless the role says otherwise.
pub const TRIES: u32 = 2;

impl RoleRoutes {
    /// Reads the steps: `provider/model`, or several with weights:
    /// `a/x@70 | b/y@30`.
    pub fn parse(steps: &[String]) -> Result<Self, String> {
        let steps: Result<Vec<_>, String> = steps.iter().map(|step| parse_step(step)).collect();
        let steps = steps?;
        if steps.is_empty() || steps.iter().map(Vec::len).sum::<usize>() > ROUTES_MAX {
            return Err(format!("expected 1 to {ROUTES_MAX} routes"));
        }
        if steps.iter().flatten().any(|(r, _)| &*r.provider == DEMO) {
            return Err("`demo` is a script and no model, so it stands in no chain".to_owned());
        }
        Ok(Self {
            steps,
            tries: TRIES,
            ..Self::default()
        })
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.steps.iter().flatten().map(|(route, _)| route)
    }
}

fn parse_step(text: &str) -> Result<Vec<(Route, u32)>, String> {
    let parts = text.split('|').map(|part| {
        let (route, weight) = match part.rsplit_once('@') {
            Some((route, weight)) if weight.trim().bytes().all(|b| b.is_ascii_digit()) => {
                (route, weight.trim().parse::<u32>().unwrap_or(0))
            }
            _ => (part, 1),
        };
        let route = Route::parse(route).filter(|_| weight > 0);
        let refused = || format!("`{}` is not `provider/model`", part.trim());
        route.map(|route| (route, weight)).ok_or_else(refused)
    });
    parts.collect()
}

/// All roles, and what is known of providers and models.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// By name.
    pub roles: BTreeMap<String, RoleRoutes>,
    /// Providers that there are, and under which name the book has their models.
    pub vendors: BTreeMap<Arc<str>, Vendor>,
    /// What is known of models.
    pub book: Book,
    /// Answers whatever role nobody has set up: the script, where it is allowed.
    pub else_ask: Option<Route>,
}

/// What routing must know of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// Its name in the book.
    pub name: Arc<str>,
    /// Whether its calls cost nothing: it runs on our own machine.
    pub free: bool,
}

/// What a call needs of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of wants, each its own"
)]
pub struct Needs {
    /// It has tools.
    pub tools: bool,
    /// It has pictures.
    pub vision: bool,
    /// It has pictures that stand at addresses.
    pub fetch: bool,
    /// It wants vectors.
    pub embed: bool,
    /// How much input it has, by our own count.
    pub input: u64,
}

impl Needs {
    /// What this request needs. The schema is no need: where a model cannot be
    /// held to one, the answer is read leniently.
    #[must_use]
    pub fn of(request: &ChatRequest) -> Self {
        let mut parts = request.messages.iter().flat_map(|message| &message.parts);
        Self {
            tools: !request.tools.is_empty(),
            vision: parts.clone().any(|part| matches!(part, Part::Image(_))),
            fetch: parts.any(|part| matches!(part, Part::Image(Image::Url(_)))),
            embed: false,
            input: crate::budget::input_tokens(request),
        }
    }
}

/// One route that can do what is asked.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where to ask.
    pub route: Route,
    /// What is known of the model.
    pub model: Option<Model>,
    /// Whether it costs nothing.
    pub free: bool,
}

/// Whom to ask for this.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In order.
    pub chain: Vec<Candidate>,
    /// Tries at each.
    pub tries: u32,
    /// Keep and use answers.
    pub cache: bool,
    /// The most output tokens when the request says nothing.
    pub max_tokens: Option<u32>,
}

/// Whom to ask for `target`. `chance` is from 0 to below 1.
pub fn plan(map: &Map, target: &str, needs: Needs, chance: f64) -> Result<Plan, ModelError> {
    let mut plan = match map.roles.get(target) {
        Some(role) => Plan {
            chain: ordered(role, chance).map(|r| candidate(map, r)).collect(),
            tries: role.tries.max(1),
            cache: role.cache,
            max_tokens: role.max_tokens,
        },
        None => Plan {
            chain: vec![candidate(map, named(map, target)?)],
            tries: TRIES,
            cache: false,
            max_tokens: None,
        },
    };
    plan.chain
        .retain(|one| map.vendors.contains_key(&one.route.provider));
    if plan.chain.is_empty() {
        let message = format!("no provider of `{target}` is configured");
        return Err(ModelError::new(ModelErrorKind::NoProvider, message));
    }
    let mut why = None;
    plan.chain.retain(|one| match unfit(one, needs) {
        None => true,
        Some(reason) => {
            why = Some(reason);
            false
        }
    });
    match (plan.chain.is_empty(), why) {
        (true, Some(error)) => Err(error),
        _ => Ok(plan),
    }
}

/// A target that is no role: `provider/model`, or the name of a model that only
/// one provider has, or any role where there is only the script.
fn named(map: &Map, target: &str) -> Result<Route, ModelError> {
    // A name goes into headers, addresses and rows.
    if target.chars().any(char::is_control) {
        let message = "a model's name has no control characters";
        return Err(ModelError::new(ModelErrorKind::NotFound, message));
    }
    if let Some(route) = Route::parse(target)
        && map.vendors.contains_key(&route.provider)
    {
        return Ok(route);
    }
    let known = |(name, vendor): (&Arc<str>, &Vendor)| {
        let book = format!("{}/{target}", vendor.name);
        let listed = map.book.find(&book).is_some() && &**name != DEMO;
        let routed = map.roles.values().flat_map(RoleRoutes::routes);
        let routed = routed
            .filter(|r| r.provider == *name)
            .any(|r| &*r.model == target);
        (listed || routed).then(|| Route {
            provider: Arc::clone(name),
            model: target.into(),
        })
    };
    let mut found = map.vendors.iter().filter_map(known);
    match (found.next(), &map.else_ask) {
        (Some(route), _) => Ok(route),
        (None, Some(script)) if !target.contains('/') => Ok(script.clone()),
        (None, _) => {
            let message = format!("there is no role and no model `{target}` here");
            Err(ModelError::new(ModelErrorKind::NotFound, message))
        }
    }
}

fn candidate(map: &Map, route: Route) -> Candidate {
    let vendor = map.vendors.get(&route.provider);
    let own = format!("{route}");
    let by_vendor = vendor.map(|vendor| format!("{}/{}", vendor.name, route.model));
    let model = map.book.find(&own);
    let model = model.or_else(|| by_vendor.and_then(|name| map.book.find(&name)));
    Candidate {
        model: model.cloned(),
        free: vendor.is_some_and(|vendor| vendor.free),
        route,
    }
}

/// Each step's chosen one first, then its others by weight, then the next step.
fn ordered(role: &RoleRoutes, chance: f64) -> impl Iterator<Item = Route> {
    role.steps.iter().flat_map(move |step| {
        let chosen = chosen(step, chance);
        let mut others: Vec<_> = step.iter().enumerate().collect();
        others.sort_by_key(|(at, (_, weight))| (*at != chosen, std::cmp::Reverse(*weight)));
        others.into_iter().map(|(_, (route, _))| route.clone())
    })
}

fn chosen(step: &[(Route, u32)], chance: f64) -> usize {
    let all: f64 = step.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut left = chance.clamp(0.0, 1.0) * all;
    for (at, (_, weight)) in step.iter().enumerate() {
        left -= f64::from(*weight);
        if left < 0.0 {
            return at;
        }
    }
    step.len().saturating_sub(1)
}

/// Why a route cannot do what is asked.
fn unfit(one: &Candidate, needs: Needs) -> Option<ModelError> {
    let lacks = |what| {
        let message = format!("{} {what}", one.route);
        Some(ModelError::new(ModelErrorKind::Unsupported, message))
    };
    // A server of our own would fetch them from inside of our network.
    if needs.fetch && one.free && &*one.route.provider != DEMO {
        return lacks("takes pictures as data only, not from addresses");
    }
    let model = one.model.as_ref()?;
    let embeds_only = model.can.as_deref() == Some(&[Ability::Embed]);
    if needs.embed && !model.may(Ability::Embed) {
        return lacks("makes no embeddings");
    }
    if !needs.embed && embeds_only {
        return lacks("makes embeddings only");
    }
    if needs.tools && !model.may(Ability::Tools) {
        return lacks("knows no tools");
    }
    if needs.vision && !model.may(Ability::Vision) {
        return lacks("sees no pictures");
    }
    // Our count is a guess, so only what is far too long is refused here.
    if model
        .context
        .is_some_and(|context| needs.input / 2 > context)
    {
        let message = format!("the input is far longer than {} takes", one.route);
        return Some(ModelError::new(ModelErrorKind::ContextFull, message));
    }
    None
}

/// The tries of one call.
#[derive(Clone, Debug)]
pub struct Tries {
    here_max: u32,
    routes: usize,
    at: usize,
    here: u32,
    all: u32,
}

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same route once more, after this pause.
    Again(Duration),
    /// The next route.
    Fallback,
    /// Nothing: the failure is the answer.
    Stop,
}

impl Tries {
    /// None yet.
    #[must_use]
    pub fn new(routes: usize, here_max: u32) -> Self {
        Self {
            here_max,
            routes,
            at: 0,
            here: 1,
            all: 1,
        }
    }

    /// Which route the present try asks.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Which try it is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.all
    }

    /// The present try has failed before anything was said. A provider that
    /// says when to come again is left alone until then, or for good if that is
    /// too long.
    pub fn after(&mut self, error: &ModelError) -> Next {
        let pause = error
            .retry_after
            .unwrap_or(PAUSE * (1 << (self.here - 1).min(6)));
        let again = error.same_again() && self.here < self.here_max && pause <= PATIENCE;
        if self.all >= TRIES_MAX {
            return Next::Stop;
        }
        if again {
            self.here += 1;
            self.all += 1;
            return Next::Again(pause);
        }
        // One that failed for itself alone, or a provider that says "later".
        if self.at + 1 < self.routes && (error.another_may() || error.same_again()) {
            self.at += 1;
            self.here = 1;
            self.all += 1;
            return Next::Fallback;
        }
        Next::Stop
    }

    /// The present route is not even tried: it is known to be down or full.
    pub fn skip(&mut self) -> bool {
        let more = self.at + 1 < self.routes;
        if more {
            self.at += 1;
            self.here = 1;
        }
        more
    }
}

#[cfg(test)]
mod tests;
