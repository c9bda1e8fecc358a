//! Start and stop. [`App::start`] is the composition root: read it to know
//! what runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jobs::Jobs;
use kernel::{Clock, Rng, Tasks};
use pg::catalog::live::Listening;
use pg::catalog::{Catalog, LoadOptions};
use pg::{Pool, PoolConfig, Session, Target, catalog};

use crate::api_keys::{self, ApiKeys, Follower};
use crate::config::{Config, ConfigError, Loaded, Sources};
use crate::gateway::{Gateway, Issuers, World};
use crate::in_database::{self, InDatabaseError};
use crate::keys::{KeyError, Keys, PrintedKeys};
use crate::lanes::Lanes;
use crate::listen::{ListenError, Listeners};
use crate::metrics::Metrics;
use crate::preview::{self, Preview};
use crate::wire::inbox::Shown;
use crate::wire::{self, Data, Rooms};

/// Time and randomness, handed in by the binary or a test.
#[derive(Clone, Debug)]
pub struct Context {
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

impl Context {
    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            rng: Rng::system(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys are missing, damaged, or not to be used like this.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// An address is not ours to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no place for files.
    #[error("could not use the folder for files, {path}")]
    Files {
        /// The folder.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system gives us no more threads.
    #[error("could not start the threads that serve requests")]
    Threads(#[source] std::io::Error),
    /// The database cannot be reached or read.
    #[error("could not {what}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What the database or the network said.
        #[source]
        source: pg::Error,
    },
}

impl From<InDatabaseError> for StartError {
    fn from(error: InDatabaseError) -> Self {
        match error {
            InDatabaseError::Config(error) => Self::Config(error),
            InDatabaseError::Database { what, source } => Self::Database { what, source },
        }
    }
}

/// What an app is put together from.
pub struct Parts {
    /// The settings.
    pub loaded: Loaded,
    /// Where they came from: read once more, with what the database itself
    /// says about the data API.
    pub sources: Sources,
    /// The project's keys.
    pub keys: Keys,
    /// Open already: taking the port first lets a second instance fail before
    /// it touches the database, and clients wait instead of failing.
    pub listeners: Listeners,
    /// Who we connect as.
    pub database: Target,
    /// Who the auth room connects as; none where the database does not allow
    /// it to work.
    pub auth_database: Option<Target>,
    /// Who keeps jobs and sessions; none where the database does not allow it.
    pub work_database: Option<Target>,
    /// Who keeps files; none where the database does not allow it.
    pub storage_database: Option<Target>,
    /// Who keeps the ledger of models; none where the database does not allow it.
    pub ai_database: Option<Target>,
}

/// A running server.
pub struct App {
    addresses: Vec<SocketAddr>,
    keys: PrintedKeys,
    config: Config,
    data: Data,
    inbox: Shown,
    /// What was to run and does not.
    warnings: Vec<String>,
    metrics: Arc<Metrics>,
    /// Its workers end while the database still answers.
    jobs: Option<Arc<Jobs>>,
    /// Listeners and connections: stopped first.
    front: Tasks,
    /// What requests in progress still need: stopped last.
    back: Tasks,
    /// The threads under both.
    lanes: Lanes,
}

impl App {
    /// Everything, in the order in which it is needed: settings of the
    /// database, catalog, pool, rooms, gateway, listeners, background work.
    #[expect(
        clippy::too_many_lines,
        reason = "one part after the other, each made from those before it"
    )]
    pub async fn start(parts: Parts, context: &Context) -> Result<Self, StartError> {
        let Parts {
            loaded,
            sources,
            keys,
            listeners,
            database,
            auth_database,
            work_database,
            storage_database,
            ai_database,
        } = parts;
        let (front, back) = (Tasks::new(), Tasks::new());
        let lanes = Lanes::start().map_err(StartError::Threads)?;
        let (loaded, sources, session) = first_look(&database, loaded, sources).await?;
        let config = loaded.config.clone();
        let options = wire::load_options(&config);
        let (listening, catalog) = first_catalog(session, &config, &options).await?;

        let database = wire::with_usual_settings(database, &config);
        let data = Data::new(
            Pool::new(&database, &pool_config(&config, lanes.count()), &back),
            catalog,
            options,
        );
        let addresses = listeners.addresses();
        let api_keys = ApiKeys::new(context.clock.clone());
        let few = few_connections(&config, lanes.count());
        let url = url(&addresses, &config);
        let (mut auth, mut inbox) = (None, Shown::default());
        if let Some(target) = auth_database {
            let pool = Pool::new(&target, &few, &back);
            let given = wire::auth::Given {
                pool: pool.clone(),
                signer: keys.signer()?,
                url: &url,
                tasks: &back,
            };
            auth = Some(wire::auth::room(&config, given, context)?);
            inbox = wire::inbox::serve(config.inbox, pool, wire::auth::ROLE, &front).await;
            let listens = config.db.channel.is_some();
            let follower = Follower::new(Arc::clone(&api_keys), target, listens);
            api_keys::start(follower, &back).await;
        }
        let work = work_database.filter(|_| config.jobs.enabled);
        let port = addresses.first().map_or(config.api.port, SocketAddr::port);
        let links = preview::links(
            &config.sandbox.preview,
            port,
            keys.shared_secret(),
            context.clock.clone(),
        );
        let preview_origins = format!("{}://*.{}", config.sandbox.preview.scheme, links.domain());
        let mut warnings = Vec::new();
        let work = match work {
            Some(target) => {
                let sandboxes = wire::sandbox::given(&config, &links, &back, context).await;
                let sandboxes = sandboxes.unwrap_or_else(|why| {
                    warnings.push(format!("Sandboxes are switched off: {why}"));
                    None
                });
                let pools = (Pool::new(&target, &few, &back), &data.pool);
                let tasks = (&front, &back);
                Some(wire::work::rooms(&config, pools, tasks, sandboxes, context))
            }
            None => None,
        };
        let sandboxes = work.as_ref().and_then(|work| work.sessions.sandboxes());
        let preview = sandboxes.map(|sandboxes| {
            let body_bytes = config.api.body_bytes_max;
            let sandboxes = Arc::clone(sandboxes);
            Arc::new(Preview::new(links, sandboxes, body_bytes, back.clone()))
        });
        let jobs = work.as_ref().map(|work| Arc::clone(&work.jobs));
        let tokens = Arc::new(wire::storage::UserTokens::default());
        let storage = storage_database.map(|target| {
            let given = wire::storage::Given {
                pools: (Pool::new(&target, &few, &back), &data.pool),
                url: &url,
                keys: &keys,
                tokens: Arc::clone(&tokens),
                tasks: (&front, &back),
            };
            wire::storage::room(&config, given, context)
        });
        let storage = storage.transpose()?;
        let models = match ai_database.filter(|_| config.ai.enabled) {
            Some(target) => {
                let pools = (Pool::new(&target, &few, &back), &data.pool);
                Some(wire::models::room(&config, pools, context, &back).await?)
            }
            None => None,
        };
        let lovable = wire::apps::lovable::Given {
            requests: &data.pool,
            work: work.as_ref(),
            models: models.as_ref(),
            tasks: &front,
            clock: context.clock.clone(),
            rng: context.rng.clone(),
            publishable_key: keys.printed().publishable_key.expose().to_owned(),
            preview_origins,
        };
        let lovable = wire::apps::lovable::app(&config, lovable);
        let rooms = Rooms::new(&config, &data, keys.shared_secret(), auth, work, storage);
        let rooms = rooms
            .with_drama(&config, &data, &context.rng)
            .with_models(models)
            .with_lovable(lovable);
        let mounted = rooms.mounted();
        let names: Vec<_> = mounted.iter().map(|room| room.name).collect();
        let metrics = Arc::new(Metrics::new(&names));
        wire::gauges(&metrics, &data, rooms.work.as_ref());
        let issuers = wire::auth::issuers(&config, context, &back)?;
        let world = World {
            preview,
            ..world(context, &data, &metrics, issuers, api_keys)
        };
        let printed = keys.printed();
        let gateway = Gateway::new(&config, keys, mounted, world);
        tokens.ask(&gateway);

        wire::background(loaded, sources, listening, &data, &rooms, &back);
        listeners.serve(&gateway, &metrics, &config.api, &lanes, &front);
        Ok(Self {
            addresses,
            keys: printed,
            config,
            data,
            inbox,
            warnings,
            metrics,
            jobs,
            front,
            back,
            lanes,
        })
    }

    /// Where clients reach us: the first address, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        url(&self.addresses, &self.config)
    }

    /// All addresses we listen on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the builder page is, where its app is asked for.
    #[must_use]
    pub fn builder_url(&self) -> Option<String> {
        let asked = self.config.apps.lovable.is_some();
        asked.then(|| [self.url().as_str(), "/lovable"].concat())
    }

    /// Where mails that are not sent can be seen.
    #[must_use]
    pub fn inbox_url(&self) -> Option<&str> {
        self.inbox.url.as_deref()
    }

    /// What is not as it was asked for, one sentence each.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let inbox = self.inbox.warning.as_deref().into_iter();
        inbox.chain(self.warnings.iter().map(String::as_str))
    }

    /// For gauges of those who work beside the app.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The keys to print.
    #[must_use]
    pub fn keys(&self) -> &PrintedKeys {
        &self.keys
    }

    /// The settings in force, with those of the database.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes no new requests, lets running ones finish within the drain time,
    /// then closes the database connections and ends background work.
    pub async fn shutdown(self) {
        self.front.stop().await;
        if let Some(jobs) = &self.jobs {
            jobs.drain().await;
        }
        self.data.pool.close();
        self.back.stop().await;
        drop(self.lanes);
    }
}

/// What the gateway knows of the world.
fn world(
    context: &Context,
    data: &Data,
    metrics: &Arc<Metrics>,
    issuers: Issuers,
    api_keys: Arc<ApiKeys>,
) -> World {
    World {
        clock: context.clock.clone(),
        rng: context.rng.clone(),
        health: wire::health(data),
        metrics: Arc::clone(metrics),
        issuers,
        api_keys,
        preview: None,
    }
}

/// A session, and the settings with what the database says to them.
async fn first_look(
    database: &Target,
    loaded: Loaded,
    sources: Sources,
) -> Result<(Loaded, Sources, Session), StartError> {
    let mut session = Session::connect(database)
        .await
        .map_err(because("connect to the database"))?;
    let (loaded, sources) = with_database_settings(loaded, sources, &mut session).await?;
    Ok((loaded, sources, session))
}

/// The catalog to begin with, and the session that hears of changes since,
/// unless nobody wants to hear of them.
async fn first_catalog(
    mut session: Session,
    config: &Config,
    options: &LoadOptions,
) -> Result<(Option<Listening>, Catalog), StartError> {
    let failed = because("read the database's catalog");
    if let Some(channel) = &config.db.channel {
        let loaded = Listening::load(session, channel, options).await;
        return loaded.map_err(failed);
    }
    let catalog = catalog::load(&mut session, options).await.map_err(failed)?;
    session.close().await;
    Ok((None, catalog))
}

fn url(addresses: &[SocketAddr], config: &Config) -> String {
    let first = addresses.first();
    let port = first.map_or(config.api.port, SocketAddr::port);
    let host = match first.map(SocketAddr::ip) {
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => ip.to_string(),
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => format!("[{ip}]"),
        _ => "127.0.0.1".to_owned(),
    };
    format!("http://{host}:{port}")
}

/// Sign-ins wait for hashing far longer than for the database, and the work of
/// jobs goes there in batches, so these rooms need few connections beside those
/// of the data API.
const ROOM_CONNECTIONS: usize = 8;

fn few_connections(config: &Config, lanes: usize) -> PoolConfig {
    let usual = pool_config(config, lanes);
    PoolConfig {
        connections_max: usual.connections_max.min(ROOM_CONNECTIONS.max(lanes)),
        ..usual
    }
}

fn because(what: &'static str) -> impl FnOnce(pg::Error) -> StartError {
    move |source| StartError::Database { what, source }
}

async fn with_database_settings(
    loaded: Loaded,
    mut sources: Sources,
    session: &mut Session,
) -> Result<(Loaded, Sources), StartError> {
    if !loaded.config.db.in_database_config {
        return Ok((loaded, sources));
    }
    let fresh = in_database::read(session, loaded.config.mode, &mut sources).await?;
    // The others have been told by whoever loaded first.
    for warning in &fresh.warnings {
        if !loaded.warnings.contains(warning) {
            tracing::warn!("{warning}");
        }
    }
    Ok((fresh, sources))
}

fn pool_config(config: &Config, lanes: usize) -> PoolConfig {
    let mut pool = PoolConfig {
        lanes,
        prepared: config.db.prepared_statements,
        ..PoolConfig::default()
    };
    if let Some(connections) = config.db.pool_size {
        pool.connections_max = connections;
        pool.quick_connections = pool.quick_connections.min(connections);
        pool.write_connections = pool.write_connections.min(connections);
    }
    pool
}
