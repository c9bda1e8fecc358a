//! The room: providers behind their doors, the map of roles, the books. Apps
//! and HTTP ask through [`Models`]; what happens to a call is in `ask.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Rng, Tasks};
use pg::Pool;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::asker::Asker;
use crate::config::{Config, Door};
use crate::error::{ModelError, ModelErrorKind};
use crate::ledger::Books;
use crate::limits::Gate;
use crate::route::{Map, Route};
use crate::store::{Keep, Store};
use crate::wires::Wire;

/// Between two looks for calls that nobody settles any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Looks between two removals of what has had its time.
const PRUNE_EVERY: u32 = 10;
/// Transactions of one removal; the rest has time until the next.
const ROUNDS_MAX: usize = 100;
/// Beside the time that a provider has: for waiting at its door, and pauses.
const MARGIN: Duration = Duration::from_secs(60);
/// How long answers are kept for their tokens: longer than any job lives on.
const ANSWERS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the room is made of.
pub struct Parts {
    /// Connections of its own, which may become [`Parts::role`].
    pub pool: Pool,
    /// Who it is in the database.
    pub role: Arc<str>,
    /// The connections of callers' requests.
    pub requests: Pool,
    /// Settings.
    pub config: Config,
    /// What its duties and settlements run in.
    pub tasks: Tasks,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// The model gateway.
pub struct Models {
    pub(crate) map: Map,
    pub(crate) ports: HashMap<Arc<str>, Port>,
    pub(crate) books: Books,
    pub(crate) rng: Rng,
    pub(crate) cache_for: Duration,
}

/// A provider as calls see it.
pub(crate) struct Port {
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) gate: Gate,
    /// How long a call there can take at most.
    pub(crate) lasts: Duration,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").finish_non_exhaustive()
    }
}

impl Models {
    /// Builds the room and starts what works beside calls.
    pub fn new(parts: Parts) -> std::io::Result<Arc<Self>> {
        let http = crate::wires::Http::new(&parts.tasks, parts.clock.clone())?;
        // What has no wire is the script.
        let connect = move |door: &Door| -> Arc<dyn Wire> {
            let wire = crate::wires::connect(door.provider.clone(), &http);
            wire.unwrap_or_else(|| Arc::new(crate::demo::Script))
        };
        Ok(Self::with(parts, &connect))
    }

    fn with(parts: Parts, connect: &dyn Fn(&Door) -> Arc<dyn Wire>) -> Arc<Self> {
        let Parts {
            pool,
            role,
            requests,
            config,
            tasks,
            clock,
            rng,
        } = parts;
        let store = Store::new(pool, role, requests);
        let keep = Keep {
            calls: config.keep,
            answers: ANSWERS_KEPT,
            cache: config.cache_for,
        };
        let sweeping = keep_swept(store.clone(), keep, tasks.token());
        tasks.spawn("sweep_calls", sweeping);
        let port = |door: &Door| {
            let name: Arc<str> = door.provider.name.as_str().into();
            let gate = Gate::new(&name, door.concurrency, door.per_minute, clock.now());
            let port = Port {
                wire: connect(door),
                gate,
                lasts: door.provider.timeouts.total,
            };
            (name, port)
        };
        Arc::new(Self {
            ports: config.doors.iter().map(port).collect(),
            map: config.map,
            books: Books {
                store,
                tasks,
                clock,
            },
            rng,
            cache_for: config.cache_for,
        })
    }

    /// What can be asked for: roles, then models that roles name, as
    /// `provider/model`.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.map.roles.keys().cloned().collect();
        let routes = self
            .map
            .roles
            .values()
            .flat_map(|role| &role.steps)
            .flatten();
        let there = routes.filter(|(route, _)| self.ports.contains_key(&route.provider));
        let mut models: Vec<String> = there.map(|(route, _)| route.to_string()).collect();
        models.extend(self.map.else_ask.iter().map(Route::to_string));
        for (provider, vendor) in &self.map.vendors {
            let of_vendor = self.map.book.of_vendor(&vendor.name);
            models.extend(of_vendor.map(|model| format!("{provider}/{model}")));
        }
        models.sort_unstable();
        models.dedup();
        names.extend(models);
        names
    }

    /// Whether the script answers for want of any model.
    #[must_use]
    pub fn is_scripted(&self) -> bool {
        self.map.else_ask.is_some()
    }

    /// What the asker's calls of the last month used, of one session or all:
    /// counts, tokens and cost as JSON, by the policies of the database.
    pub async fn spent(&self, asker: &Asker) -> Result<String, ModelError> {
        let spent = self.books.store.spent(&asker.caller, asker.session).await;
        spent.map_err(|error| broken(&error))
    }

    /// How long a call can take at most, over all its tries.
    pub(crate) fn lasts(&self, chain: &[crate::route::Candidate]) -> Duration {
        let ports = chain
            .iter()
            .filter_map(|c| self.ports.get(&c.route.provider));
        ports.fold(MARGIN, |sum, port| sum + port.lasts)
    }

    /// From 0 to below 1.
    pub(crate) fn chance(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.rng.bytes())) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Who somebody is in the ledger, from the claims.
pub(crate) struct Identity {
    pub(crate) owner: Option<String>,
    pub(crate) api_key: Option<Uuid>,
}

impl Identity {
    pub(crate) fn of(asker: &Asker) -> Self {
        let claims: Value = serde_json::from_str(&asker.caller.claims).unwrap_or_default();
        let text = |path: &str| claims.pointer(path).and_then(Value::as_str);
        Self {
            owner: text("/sub").map(str::to_owned),
            api_key: text("/api_key/id").and_then(|id| id.parse().ok()),
        }
    }
}

/// The books cannot be written: nothing is asked that could not be counted.
pub(crate) fn broken(error: &pg::Error) -> ModelError {
    tracing::error!(%error, "The ledger of calls to models failed");
    ModelError::new(ModelErrorKind::Internal, "the server failed")
}

/// Every now and then, until told to stop.
async fn keep_swept(store: Store, keep: Keep, stop: CancellationToken) {
    let mut looks: u32 = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = stop.cancelled() => return,
        }
        looks = looks.wrapping_add(1);
        match store.sweep().await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "Calls to models that nobody ended were closed"),
            Err(error) => tracing::warn!(%error, "Calls to models not swept"),
        }
        if !looks.is_multiple_of(PRUNE_EVERY) {
            continue;
        }
        for _ in 0..ROUNDS_MAX {
            match store.prune(keep).await {
                Ok(0) => break,
                Ok(_) if stop.is_cancelled() => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "Old calls to models not removed");
                    break;
                }
            }
        }
    }
}
