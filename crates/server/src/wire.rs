//! Which rooms there are, what each is built from, and what watches them. A
//! new room is one function here and one line in [`Rooms::mounted`].

pub(crate) mod apps;
pub(crate) mod auth;
pub(crate) mod inbox;
pub(crate) mod models;
pub(crate) mod sandbox;
pub(crate) mod storage;
pub(crate) mod work;

use std::sync::Arc;

use arc_swap::ArcSwap;
use kernel::{Rng, Secret, Tasks};
use pg::catalog::live::{self, Listening};
use pg::catalog::{self, Catalog, LoadOptions};
use pg::{Host, Pool, RequestTx, Session, SqlBuf, Target};
use rest::Rest;
use rest::call::Root;
use rest::call::prefer::TransactionChoice;
use tokio::sync::mpsc;

use crate::config::{Config, Loaded, OpenApiMode, Sources, TxEnd};
use crate::gateway::{Access, Bodies, Dialect, Room, routed};
use crate::health::{Health, Probe};
use crate::in_database::{self, qualified};
use crate::metrics::Metrics;
use crate::prune;

/// The database as rooms see it.
#[derive(Clone)]
pub struct Data {
    /// Connections.
    pub pool: Pool,
    /// What the database looks like; replaced when it changes.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// What of it to read.
    pub options: Arc<ArcSwap<LoadOptions>>,
}

impl Data {
    /// A pool with the catalog that was read through these options.
    #[must_use]
    pub fn new(pool: Pool, catalog: Catalog, options: LoadOptions) -> Self {
        Self {
            pool,
            catalog: Arc::new(ArcSwap::from_pointee(catalog)),
            options: Arc::new(ArcSwap::from_pointee(options)),
        }
    }
}

/// What to read of the catalog.
#[must_use]
pub fn load_options(config: &Config) -> LoadOptions {
    let mut schemas = config.db.schemas.clone();
    schemas.extend(platform_schemas(config));
    LoadOptions {
        extra_search_path: config.db.extra_search_path.clone(),
        ..LoadOptions::for_schemas(schemas)
    }
}

/// The schemas with jobs and sessions, and with calls to models, which are part
/// of the data API without being among those that were asked for: the default stays what it was, and
/// answers name no profile where there is one schema.
fn platform_schemas(config: &Config) -> Vec<String> {
    let jobs = config.jobs.enabled && config.jobs.expose;
    let app = jobs && config.apps.lovable.is_some();
    let schemas = [
        (jobs, work::SCHEMA),
        (config.ai.enabled, models::SCHEMA),
        (app, apps::lovable::SCHEMA),
    ];
    let shown = schemas.into_iter().filter(|(shown, _)| *shown);
    let names = shown.map(|(_, schema)| schema.to_owned());
    names
        .filter(|schema| !config.db.schemas.contains(schema))
        .collect()
}

/// The rooms, as the parts that live on after start need them.
#[derive(Clone)]
pub struct Rooms {
    /// The data API.
    pub rest: Arc<Rest>,
    /// It is at `/` as well.
    rest_at_root: bool,
    /// Who somebody is; none where the database does not let us know.
    pub auth: Option<Arc<::auth::Auth>>,
    /// Jobs and sessions; none where the database does not let us keep them.
    pub work: Option<work::Work>,
    /// Files; none where the database does not let us keep them.
    pub storage: Option<Arc<::storage::Storage>>,
    /// Models; none where the database does not let us keep their ledger.
    pub models: Option<Arc<::models::Models>>,
    /// The lovable clone, where it is asked for.
    lovable: Option<Arc<::lovable::Lovable>>,
    /// OMVEE's projects and uploads, where they are asked for.
    omvee: Option<Arc<omvee::Omvee>>,
    /// The drama generator's asset library, where it is asked for.
    drama: Option<Arc<::drama::Drama>>,
    /// Open Lovable's v2 API, where it is asked for.
    open_lovable: Option<Arc<open_lovable::OpenLovable>>,
}

impl Rooms {
    /// Builds every room. The secret is one that all nodes of a project share.
    #[must_use]
    pub fn new(
        config: &Config,
        data: &Data,
        secret: &Secret,
        auth: Option<Arc<::auth::Auth>>,
        work: Option<work::Work>,
        storage: Option<Arc<::storage::Storage>>,
    ) -> Self {
        let catalog = Arc::clone(&data.catalog);
        let rest_at_root = config.rest.at_root;
        let open_lovable = apps::open_lovable(config, &data.pool, work.is_some());
        let omvee = apps::omvee(config, &data.pool, storage.as_ref());
        let (pool, config) = (data.pool.clone(), rest_config(config));
        Self {
            rest: Rest::with_idempotency(config, pool, catalog, secret),
            rest_at_root,
            auth,
            work,
            storage,
            models: None,
            lovable: None,
            omvee,
            drama: None,
            open_lovable,
        }
    }

    /// With the drama generator's asset library, if it is asked for.
    #[must_use]
    pub fn with_drama(mut self, config: &Config, data: &Data, rng: &Rng) -> Self {
        self.drama = apps::drama::app(config, &data.pool, (self.storage.as_ref(), rng));
        self
    }

    /// The same with the lovable clone, which needs other rooms.
    #[must_use]
    pub(crate) fn with_lovable(mut self, lovable: Option<Arc<::lovable::Lovable>>) -> Self {
        self.lovable = lovable;
        self
    }

    /// The same with models.
    #[must_use]
    pub fn with_models(mut self, models: Option<Arc<::models::Models>>) -> Self {
        self.models = models;
        self
    }

    /// Every room as the gateway sees it, in the order in which prefixes are
    /// tried.
    #[must_use]
    pub fn mounted(&self) -> Vec<Room> {
        let rest = |name, prefix| Room {
            name,
            prefix,
            dialect: Dialect::Rest,
            access: Access::Checked,
            bodies: Bodies::Counted,
            service: {
                let rest = Arc::clone(&self.rest);
                Box::new(move |request| Box::pin(Arc::clone(&rest).serve(request)))
            },
        };
        let auth = Room {
            name: "auth",
            prefix: auth::PREFIX,
            dialect: Dialect::Auth,
            // Where links in mails and redirects of providers lead, and what
            // clients of others must find out first.
            access: Access::Keyed {
                open: &[
                    "/verify",
                    "/callback",
                    "/authorize",
                    "/.well-known",
                    "/health",
                    "/sso/saml",
                    "/oauth",
                ],
            },
            bodies: Bodies::Counted,
            service: routed(match &self.auth {
                Some(room) => Arc::clone(room).router(),
                None => auth::switched_off(),
            }),
        };
        let metadata = Room {
            name: "oauth_metadata",
            prefix: "/.well-known/oauth-authorization-server",
            dialect: Dialect::Gateway,
            access: Access::Open,
            bodies: Bodies::Counted,
            service: routed(match &self.auth {
                Some(room) => Arc::clone(room).metadata_router(),
                None => auth::switched_off(),
            }),
        };
        let mut rooms = vec![rest("rest", "/rest/v1"), auth, metadata];
        if let Some(work) = &self.work {
            rooms.push(work_room("jobs", "/jobs/v1", work.jobs_router()));
            let sessions = Arc::clone(&work.sessions).router();
            rooms.push(work_room("sessions", "/sessions/v1", sessions));
            rooms.push(Room {
                // Who talks to one sandbox shows its key, which is the room's matter.
                access: Access::Open,
                ..work_room("e2b", "/e2b", Arc::clone(&work.sessions).e2b_router())
            });
        }
        rooms.extend(self.storage.iter().map(storage::mounted));
        rooms.extend(self.models.iter().map(models::mounted));
        rooms.extend(self.lovable.iter().flat_map(apps::lovable::rooms));
        rooms.extend(self.omvee.iter().flat_map(apps::omvee_rooms));
        rooms.extend(self.drama.iter().map(apps::drama::room));
        rooms.extend(self.open_lovable.iter().flat_map(apps::open_lovable_rooms));
        if self.rest_at_root {
            // Last, since it takes whatever nobody else has.
            rooms.push(rest("rest_at_root", ""));
        }
        rooms
    }
}

fn work_room(name: &'static str, prefix: &'static str, router: axum::Router) -> Room {
    Room {
        name,
        prefix,
        dialect: Dialect::Rest,
        access: Access::Checked,
        bodies: Bodies::Counted,
        service: routed(router),
    }
}

/// Our own server takes any setting with the login. A pooler in front of
/// somebody else's may refuse it, or hand out another session.
#[must_use]
pub fn with_usual_settings(mut target: Target, config: &Config) -> Target {
    if matches!(target.host, Host::Unix(_))
        && let Some(path) = Rest::usual_search_path(&rest_config(config))
    {
        target.startup.push(("search_path".to_owned(), path));
    }
    target
}

pub(crate) fn rest_config(config: &Config) -> rest::Config {
    let openapi = config.rest.openapi;
    let root = match (&config.db.root_spec, openapi) {
        (Some(routine), _) => Root::Routine(routine.clone()),
        (None, OpenApiMode::Disabled) => Root::Disabled,
        (None, OpenApiMode::FollowPrivileges | OpenApiMode::IgnorePrivileges) => Root::Description,
    };
    let (rollback_all, transaction_choice) = match config.db.tx_end {
        TxEnd::Commit => (false, TransactionChoice::Operator),
        TxEnd::CommitAllowOverride => (false, TransactionChoice::Client),
        TxEnd::Rollback => (true, TransactionChoice::Operator),
        TxEnd::RollbackAllowOverride => (true, TransactionChoice::Client),
    };
    rest::Config {
        schemas: config.db.schemas.clone(),
        platform_schemas: platform_schemas(config),
        extra_search_path: config.db.extra_search_path.clone(),
        max_rows: config.db.max_rows,
        aggregates_enabled: config.db.aggregates_enabled,
        plan_enabled: config.db.plan_enabled,
        legacy_target_names: config.rest.legacy_target_names,
        pre_request: config.db.pre_request.as_deref().map(qualified),
        rollback_all,
        transaction_choice,
        root,
        openapi_ignore_privileges: openapi == OpenApiMode::IgnorePrivileges,
        openapi_security: config.rest.openapi_security_active,
        openapi_proxy: config.rest.openapi_server_proxy_uri.clone(),
        server_timing: config.api.server_timing,
        app_settings: config
            .app_settings
            .iter()
            .map(|(name, value)| (format!("app.settings.{name}"), value.clone()))
            .collect(),
        base_path: String::new(),
        minimal_errors: !config.rest.verbose_errors,
        body_bytes_max: usize::try_from(config.api.body_bytes_max).unwrap_or(usize::MAX),
        tx: rest::TxLimits::default(),
    }
}

/// What must answer before we call ourselves ready.
#[must_use]
pub fn health(data: &Data) -> Health {
    let pool = data.pool.clone();
    let role: Arc<str> = pool.target().user.as_str().into();
    Health::new(vec![Probe::new("database", move || {
        let pool = pool.clone();
        let mut ping = RequestTx::new(&role, "{}", &[]);
        let mut select = SqlBuf::new();
        select.lit("SELECT 1");
        ping.push(select);
        async move {
            ping.run(&pool)
                .await
                .map(drop)
                .map_err(|error| kind(&error))
        }
    })])
}

/// A failure in a word: readiness is public, messages may name hosts.
fn kind(error: &pg::Error) -> String {
    match error.sqlstate() {
        Some(state) => format!("SQLSTATE {state}"),
        None => "not reachable".to_owned(),
    }
}

/// Gauges of the pool.
pub fn gauges(metrics: &Metrics, data: &Data, work: Option<&work::Work>) {
    if let Some(work) = work {
        stream_gauges(metrics, work);
    }
    let gauge = |name, help, read: fn(pg::PoolStats) -> usize| {
        let pool = data.pool.clone();
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of connections are small"
        )]
        metrics.add_gauge(name, help, move || read(pool.stats()) as f64);
    };
    gauge("pool_connections", "Open database connections", |stats| {
        stats.open
    });
    gauge(
        "pool_connections_busy",
        "Database connections with work in flight",
        |stats| stats.busy,
    );
    gauge(
        "pool_waiting",
        "Requests waiting for a database connection",
        |stats| stats.waiting,
    );
    gauge(
        "pool_connections_max",
        "Most database connections",
        |stats| stats.max,
    );
}

/// Gauges of the streams.
fn stream_gauges(metrics: &Metrics, work: &work::Work) {
    let streams = Arc::clone(work.sessions.streams());
    #[expect(clippy::cast_precision_loss, reason = "counts of watchers are small")]
    let watchers = move || streams.watchers() as f64;
    let help = "Those who follow streams on this node";
    metrics.add_gauge("stream_watchers", help, watchers);
}

/// Requests to read the settings again that may wait: one more after the one
/// being served sees everything.
const RELOADS_WAITING: usize = 1;

/// Work beside requests: the catalog follows the database, and so do the
/// settings that are kept in it. `listening` has loaded what is in `data`.
pub fn background(
    loaded: Loaded,
    sources: Sources,
    listening: Option<Listening>,
    data: &Data,
    rooms: &Rooms,
    tasks: &Tasks,
) {
    tasks.spawn("timezones", load_timezones(data.clone(), rooms.clone()));
    let pruning = prune::keep_pruned(data.pool.clone(), tasks.token());
    tasks.spawn("prune", pruning);
    let Some(channel) = loaded.config.db.channel.clone() else {
        return;
    };
    let (reload, reloads) = mpsc::channel(RELOADS_WAITING);
    let fresh = {
        let data = data.clone();
        async move {
            let target = data.pool.target().clone();
            let observe = move |event| observe(event, &reload);
            let (options, catalog) = (data.options, data.catalog);
            live::keep_fresh(target, channel, listening, options, catalog, observe).await;
        }
    };
    let stop = tasks.token();
    tasks.spawn("catalog", async move {
        tokio::select! {
            () = fresh => {}
            () = stop.cancelled() => {}
        }
    });
    let reconfigure = reconfigure(loaded, sources, data.clone(), rooms.clone(), reloads);
    let stop = tasks.token();
    tasks.spawn("settings", async move {
        tokio::select! {
            () = reconfigure => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Listing the time zones takes longer than a whole start, and hardly any
/// request names one.
async fn load_timezones(data: Data, rooms: Rooms) {
    let loaded = async {
        let mut session = Session::connect(data.pool.target()).await?;
        let timezones = catalog::load_timezones(&mut session).await?;
        session.close().await;
        Ok::<_, pg::Error>(timezones)
    };
    match loaded.await {
        Ok(timezones) => rooms.rest.set_timezones(timezones),
        Err(error) => tracing::warn!(%error, "Time zones not loaded; Prefer: timezone is ignored"),
    }
}

/// Reads the settings in the database again whenever it is asked to.
async fn reconfigure(
    loaded: Loaded,
    mut sources: Sources,
    data: Data,
    rooms: Rooms,
    mut reloads: mpsc::Receiver<()>,
) {
    while reloads.recv().await.is_some() {
        if !loaded.config.db.in_database_config {
            continue;
        }
        match in_database::read_again(&data.pool, loaded.config.mode, &mut sources).await {
            Ok(fresh) => {
                data.options.store(Arc::new(load_options(&fresh.config)));
                rooms.rest.reconfigure(rest_config(&fresh.config));
                tracing::info!("Settings loaded");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "Settings not loaded; the old ones stay in force");
            }
        }
    }
}

fn observe(event: live::Event, reload: &mpsc::Sender<()>) {
    match event {
        live::Event::Loaded { took } => {
            tracing::info!(
                took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "Catalog loaded"
            );
        }
        live::Event::ConfigReloadRequested => {
            // A full queue already holds a reload that has not begun.
            let _ = reload.try_send(());
        }
        live::Event::Failed { error, retry_in } => {
            tracing::warn!(%error, retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX), "Catalog not refreshed");
        }
    }
}
