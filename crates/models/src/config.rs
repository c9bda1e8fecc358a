//! What the operator says of models: providers, roles, what is kept. Raw texts
//! become one checked [`Config`], or a sentence about what is wrong.
//!
//! Start at [`Config::check`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::Secret;
use serde::Deserialize;

use crate::limits;
use crate::prices::Book;
use crate::route::{DEMO, DEMO_MODEL, Map, RoleRoutes, Route, Vendor};
use crate::wires::provider::{Provider, SchemaSupport, Timeouts, WireKind};

/// Providers; each has connections of its own.
const PROVIDERS_MAX: usize = 64;
/// Roles.
const ROLES_MAX: usize = 256;

/// Whom roles stand for when nobody says: by vendor, in this order, as far as
/// there are providers of these vendors.
const USUAL: &[(&str, &[&str])] = &[
    ("planner", LARGE),
    ("coder", LARGE),
    ("chat", LARGE),
    ("vision", LARGE),
    ("judge", LARGE),
    ("fast", SMALL),
    (
        "embed",
        &[
            "openai/text-embedding-3-small",
            "google/gemini-embedding-001",
        ],
    ),
];
const LARGE: &[&str] = &[
    "anthropic/claude-sonnet-4-5",
    "openai/gpt-5.1",
    "google/gemini-2.5-pro",
];
const SMALL: &[&str] = &[
    "anthropic/claude-haiku-4-5",
    "openai/gpt-5-mini",
    "google/gemini-2.5-flash",
];

/// What the gateway is told.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// `[ai.providers.<name>]`.
    pub providers: BTreeMap<String, RawProvider>,
    /// `[ai.roles.<name>]`.
    pub roles: BTreeMap<String, RawRole>,
    /// The text of the operator's file of models.
    pub models_file: Option<String>,
    /// Keys under their usual names, such as `ANTHROPIC_API_KEY`.
    pub env: Vec<(String, Secret)>,
    /// Local servers that answered: base address, first model, whether it can
    /// only make vectors.
    pub local: Vec<Local>,
    /// Whether the script may answer.
    pub demo: bool,
    /// How long rows of the ledger are kept.
    pub keep: Duration,
    /// How old an answer of the cache may be.
    pub cache_for: Duration,
}

/// `[ai.providers.<name>]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProvider {
    /// The protocol; by name for the well-known ones.
    pub kind: Option<WireKind>,
    /// Where it is.
    pub url: Option<String>,
    /// Its key, or `env(NAME)`.
    pub key: Option<Secret>,
    /// More headers.
    pub headers: BTreeMap<String, Secret>,
    /// Its name in the file of models.
    pub vendor: Option<String>,
    /// Calls cost nothing.
    pub free: Option<bool>,
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Calls in a minute.
    pub per_minute: Option<u32>,
    /// How it is held to a schema.
    pub schema: Option<SchemaSupport>,
    /// Seconds until the first word, of silence, in all.
    pub first_timeout: Option<u64>,
    /// Seconds of silence.
    pub idle_timeout: Option<u64>,
    /// Seconds in all.
    pub timeout: Option<u64>,
}

/// `[ai.roles.<name>]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRole {
    /// `provider/model`, or several with weights, one after the other.
    pub routes: Vec<String>,
    /// Keep answers.
    pub cache: bool,
    /// The most output tokens when the request says nothing.
    pub max_tokens: Option<u32>,
    /// Tries at one route.
    pub tries: Option<u32>,
}

/// A model server on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Such as `ollama`.
    pub name: String,
    /// Its OpenAI-compatible address.
    pub url: String,
    /// Its models.
    pub models: Vec<String>,
}

/// A provider as it is used.
#[derive(Clone, Debug)]
pub struct Door {
    /// How to speak to it.
    pub provider: Provider,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls in a minute.
    pub per_minute: Option<u32>,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Providers, the script among them where it is allowed.
    pub doors: Vec<Door>,
    /// Roles and what is known of models.
    pub map: Map,
    /// How long rows of the ledger are kept.
    pub keep: Duration,
    /// How old an answer of the cache may be.
    pub cache_for: Duration,
}

impl Config {
    /// Checks what was said.
    pub fn check(raw: Raw) -> Result<Self, String> {
        let book = Book::read(raw.models_file.as_deref()).map_err(|error| error.to_string())?;
        let mut map = Map {
            book,
            ..Map::default()
        };
        let mut doors = Vec::new();
        let mut named = raw.providers;
        for (name, env) in WELL_KNOWN {
            let key = raw.env.iter().find(|(known, _)| known == env);
            if let Some((_, key)) = key {
                named
                    .entry((*name).to_owned())
                    .or_default()
                    .key
                    .get_or_insert_with(|| key.clone());
            }
        }
        for local in &raw.local {
            named
                .entry(local.name.clone())
                .or_insert_with(|| RawProvider {
                    kind: Some(WireKind::OpenaiChat),
                    url: Some(local.url.clone()),
                    ..RawProvider::default()
                });
        }
        if named.len() > PROVIDERS_MAX || raw.roles.len() > ROLES_MAX {
            return Err(format!(
                "at most {PROVIDERS_MAX} providers and {ROLES_MAX} roles"
            ));
        }
        for (name, said) in named {
            let (door, vendor) = door(&name, said, &raw.env)?;
            map.vendors.insert(name.as_str().into(), vendor);
            doors.push(door);
        }
        let others = !doors.is_empty();
        if raw.demo {
            doors.push(script());
            let vendor = Vendor {
                name: DEMO.into(),
                free: true,
            };
            map.vendors.insert(DEMO.into(), vendor);
            map.else_ask = (!others).then(|| Route {
                provider: DEMO.into(),
                model: DEMO_MODEL.into(),
            });
        }
        for (name, role) in raw.roles {
            let routes = role_routes(&role).map_err(|why| format!("ai.roles.{name}: {why}"))?;
            map.roles.insert(name, routes);
        }
        usual_roles(&mut map, &raw.local);
        Ok(Self {
            doors,
            map,
            keep: raw.keep,
            cache_for: raw.cache_for,
        })
    }
}

/// Providers whose name says what they are, and where their key usually is.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("anthropic", "ANTHROPIC_API_KEY"),
    ("openai", "OPENAI_API_KEY"),
    ("google", "GEMINI_API_KEY"),
    ("google", "GOOGLE_API_KEY"),
    ("openrouter", "OPENROUTER_API_KEY"),
    ("groq", "GROQ_API_KEY"),
    ("replicate", "REPLICATE_API_TOKEN"),
];

/// The names under which keys are usually kept.
pub fn usual_key_names() -> impl Iterator<Item = &'static str> {
    WELL_KNOWN.iter().map(|(_, env)| *env)
}

fn door(name: &str, said: RawProvider, env: &[(String, Secret)]) -> Result<(Door, Vendor), String> {
    let wrong = |why: &str| Err(format!("ai.providers.{name}: {why}"));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name == DEMO || !name.chars().all(plain) {
        return wrong("a name has letters, digits, `-`, `_` and `.`, and is not `demo`");
    }
    let Some(kind) = said.kind.or_else(|| usual_kind(name)) else {
        return wrong(
            "expected `kind`: anthropic, openai, openai-compatible, openrouter, gemini or replicate",
        );
    };
    if kind == WireKind::Demo {
        return wrong("the script needs no provider of its own");
    }
    let usual_url = (name == "groq").then_some("https://api.groq.com/openai/v1");
    let url = said.url.as_deref().or(usual_url);
    if url.is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
        return wrong("`url` begins with https:// or http://");
    }
    let mut provider = Provider::new(name, kind, url);
    provider.key = match said.key {
        None => None,
        Some(key) => match key
            .expose()
            .strip_prefix("env(")
            .and_then(|k| k.strip_suffix(')'))
        {
            None => Some(key),
            Some(variable) => {
                let Some((_, key)) = env.iter().find(|(known, _)| known == variable) else {
                    return wrong("the environment has no variable of the name that `key` gives");
                };
                Some(key.clone())
            }
        },
    };
    provider.headers = said.headers.into_iter().collect();
    provider.schema = said.schema.unwrap_or_default();
    let usual = Timeouts::default();
    let seconds = |said: Option<u64>, usual| said.map_or(usual, Duration::from_secs);
    provider.timeouts = Timeouts {
        first: seconds(said.first_timeout, usual.first),
        idle: seconds(said.idle_timeout, usual.idle),
        total: seconds(said.timeout, usual.total),
    };
    let vendor = said.vendor.unwrap_or_else(|| usual_vendor(name, kind));
    let free = said.free.unwrap_or_else(|| is_local(&provider.base_url));
    let door = Door {
        provider,
        concurrency: said.concurrency.unwrap_or(limits::CONCURRENCY),
        per_minute: said.per_minute.filter(|most| *most > 0),
    };
    let vendor = Vendor {
        name: vendor.into(),
        free,
    };
    Ok((door, vendor))
}

fn usual_kind(name: &str) -> Option<WireKind> {
    Some(match name {
        "anthropic" => WireKind::Anthropic,
        "openai" => WireKind::OpenaiResponses,
        "google" | "gemini" => WireKind::Gemini,
        "openrouter" => WireKind::Openrouter,
        "replicate" => WireKind::Replicate,
        "groq" | "ollama" | "vllm" | "lmstudio" | "llamacpp" => WireKind::OpenaiChat,
        _ => return None,
    })
}

/// Whose models they are, as its protocol says: a double or a mirror of a maker
/// has the maker's models. Everybody speaks chat completions, so there the name.
fn usual_vendor(name: &str, kind: WireKind) -> String {
    let vendor = match kind {
        WireKind::Anthropic => "anthropic",
        WireKind::OpenaiResponses => "openai",
        WireKind::Gemini => "google",
        WireKind::Openrouter => "openrouter",
        WireKind::Replicate => "replicate",
        WireKind::Demo => DEMO,
        WireKind::OpenaiChat => name,
    };
    vendor.to_owned()
}

/// A model server on this machine bills nobody. The address has to be a
/// number or `localhost`: a name can lead anywhere.
fn is_local(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn role_routes(role: &RawRole) -> Result<RoleRoutes, String> {
    let mut routes = RoleRoutes::parse(&role.routes)?;
    routes.cache = role.cache;
    routes.max_tokens = role.max_tokens;
    if let Some(tries) = role.tries {
        routes.tries = tries;
    }
    Ok(routes)
}

/// Roles that nobody set up, from the providers that there are.
fn usual_roles(map: &mut Map, local: &[Local]) {
    for (name, models) in USUAL {
        if map.roles.contains_key(*name) {
            continue;
        }
        let routes = models.iter().filter_map(|model| {
            let (vendor, model) = model.split_once('/')?;
            let found = map.vendors.iter().find(|(_, v)| &*v.name == vendor);
            found.map(|(provider, _)| Route {
                provider: Arc::clone(provider),
                model: model.into(),
            })
        });
        let mut steps: Vec<_> = routes.map(|route| vec![(route, 1)]).collect();
        let embeds = |model: &str| model.contains("embed");
        let mut of_local = local.iter().flat_map(|one| {
            let models = one.models.iter();
            models.map(|model| (one.name.as_str(), model.as_str()))
        });
        let fits = of_local.find(|(_, model)| embeds(model) == (*name == "embed"));
        if let Some((provider, model)) = fits {
            let route = Route {
                provider: provider.into(),
                model: model.into(),
            };
            steps.push(vec![(route, 1)]);
        }
        if !steps.is_empty() {
            let role = RoleRoutes {
                steps,
                tries: crate::route::TRIES,
                ..RoleRoutes::default()
            };
            map.roles.insert((*name).to_owned(), role);
        }
    }
}

fn script() -> Door {
    Door {
        provider: Provider::new(DEMO, WireKind::Demo, None),
        concurrency: limits::CONCURRENCY,
        per_minute: None,
    }
}

#[cfg(test)]
mod tests;
