//! From a folder to a running backend: `ferrobase dev` and `ferrobase serve`.
//!
//! [`run`] is the order of things: the folder is taken, the port is taken,
//! PostgreSQL is started or found, our schema and then the project's are
//! applied, and the app is put on top. What the other verbs do to a database
//! is in [`crate::operate`].

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kernel::{Secret, Tasks};
use pg::Session;
use pg::cluster::{Cluster, ClusterError, ClusterState};
use pg::migrate::{MigrateError, MigrateOptions, migrate, migrate_app};
use pg::{Target, TargetError};

use crate::app::{App, Context, Parts, StartError};
use crate::config::{Config, Loaded, Mode, Sources};
use crate::instance::{self, Announcement, InstanceError, Running as Announced};
use crate::keys;
use crate::listen::Listeners;
use crate::operate::backup::Backups;
use crate::operate::{self, Search};
use crate::project::{Applied, Exposed, Project, ProjectError, unprotected_tables};
use crate::typegen::{self, TypegenError};
use crate::wire;

/// The role that requests enter the managed database with.
const AUTHENTICATOR: &str = "authenticator";
/// Owns the tables of sign-in, as on Supabase.
const AUTH_ADMIN: &str = "supabase_auth_admin";
/// The role that a Supabase project's migrations run as.
const OWNER: &str = "postgres";
/// Its password on a developer's own machine, as the official CLI sets it.
const LOCAL_PASSWORD: &str = "postgres";
const DATABASE: &str = "postgres";

/// Why `dev` or `serve` did not start, or another verb failed.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The folder.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The managed PostgreSQL.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Our own schema.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The project's migrations or seeds.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// `db.url` cannot be read.
    #[error("setting `db.url` is not valid: {0}")]
    Target(#[from] TargetError),
    /// The types of the database.
    #[error("could not read the database's types")]
    Types(#[from] TypegenError),
    /// The rest.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What to start.
pub struct Plan<'a> {
    /// The settings.
    pub loaded: Loaded,
    /// Where they came from; read once more with the database's own.
    pub sources: Sources,
    /// The Supabase project to apply.
    pub project: Option<&'a Project>,
    /// Whether a database of our own gets the project's seeds.
    pub seed: bool,
    /// Where to look for PostgreSQL's programs.
    pub search: Search,
    /// The project's folder.
    pub root: PathBuf,
}

/// A backend with its database.
pub struct Running {
    /// The server.
    pub app: App,
    /// What was done to the database on the way.
    pub prepared: Prepared,
    /// For other programs; none when only the private socket admits us.
    pub db_url: Option<Secret>,
    /// Whether the cluster was made by this start.
    pub cold: bool,
    /// From the call to the first request that would be answered.
    pub took: Duration,
    platform: Target,
    /// Backups: stopped before anything else.
    backups: Tasks,
    cluster: Option<Cluster>,
    /// Tasks of the cluster, stopped after the app's.
    cluster_tasks: Tasks,
    _announcement: Option<Announcement>,
}

/// What was done to the database before the app was put on top.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What does not work on this database, one sentence each.
    pub degradations: Vec<String>,
    /// The project's migrations and seeds, if the folder is a project.
    pub applied: Applied,
    /// Tables that anyone could reach if nobody had closed them.
    pub exposed: Vec<Exposed>,
}

/// Who enters the database for what.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    /// Owns our schema.
    pub(crate) platform: Target,
    /// Owns the project's tables.
    pub(crate) project: Target,
    /// Serves requests.
    pub(crate) requests: Target,
    /// Serves sign-ins.
    pub(crate) auth: Target,
    /// Keeps jobs and sessions.
    pub(crate) work: Target,
    /// Keeps files.
    pub(crate) storage: Target,
    /// Keeps the ledger of models.
    pub(crate) models: Target,
}

/// Starts everything. `progress` hears one sentence before each step that
/// takes noticeable time.
pub async fn run(
    plan: Plan<'_>,
    context: &Context,
    progress: impl Fn(&str) + Send + Sync,
) -> Result<Running, DevError> {
    let began = Instant::now();
    let config = plan.loaded.config.clone();
    let folder = config.db.data_dir.clone();
    instance::make_folder(&folder)?;
    let mut announced = Announced {
        pid: std::process::id(),
        started_at: format!("{:.0}", context.clock.now()),
        api_url: format!("http://127.0.0.1:{}", config.api.port),
        ..Announced::default()
    };
    let announcement = announce(&config, &announced)?;
    // Keys next: they are quick and may refuse. Then the port, so that clients
    // wait in the queue while the database starts instead of failing.
    let keys =
        keys::resolve(&config, &folder, &context.clock, &context.rng).map_err(StartError::from)?;
    let listeners = Listeners::bind(&config.api)
        .await
        .map_err(StartError::from)?;

    let backups = Backups::of_plan(&plan, context);
    let cluster_tasks = Tasks::new();
    let cluster = start_cluster(&plan, &listeners, context, &cluster_tasks, &progress).await?;
    let started = Box::pin(finish(
        plan,
        cluster.as_ref(),
        Late { keys, listeners },
        context,
    ))
    .await;
    let (app, prepared, db_url) = match started {
        Ok(started) => started,
        Err(error) => {
            stop_cluster(cluster, &cluster_tasks).await;
            return Err(error);
        }
    };
    if let Some(announcement) = &announcement {
        announced.api_url = app.url();
        announced.ready = true;
        announced.values = app
            .keys()
            .environment(&app.url(), db_url.as_ref().map(Secret::expose))
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        // The second name is the one of older releases of the official CLI.
        for name in ["MAILPIT_URL", "INBUCKET_URL"] {
            if let Some(url) = app.inbox_url() {
                announced.values.insert(name.to_owned(), url.into());
            }
        }
        announcement.publish(&announced)?;
    }
    let platform = targets(&config, cluster.as_ref())?.platform;
    Ok(Running {
        backups: backups.keep(platform.clone(), app.metrics()),
        app,
        prepared,
        db_url,
        cold: cluster.as_ref().is_some_and(|one| one.info().cold),
        took: began.elapsed(),
        platform,
        cluster,
        cluster_tasks,
        _announcement: announcement,
    })
}

/// Takes the folder. Several nodes of a deployment may be started from one
/// folder when their database is elsewhere; only the first is known to `status`.
fn announce(config: &Config, announced: &Announced) -> Result<Option<Announcement>, DevError> {
    match Announcement::take(&config.db.data_dir, announced) {
        Ok(announcement) => Ok(Some(announcement)),
        Err(InstanceError::Held { .. })
            if config.mode == Mode::Serve && config.db.url.is_some() =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn start_cluster(
    plan: &Plan<'_>,
    listeners: &Listeners,
    context: &Context,
    tasks: &Tasks,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Option<Cluster>, DevError> {
    if plan.loaded.config.db.url.is_some() {
        return Ok(None);
    }
    let mut config = operate::cluster_config(&plan.loaded.config, &plan.search, context);
    config.port = Some(match plan.loaded.config.db.port {
        0 => operate::free_port().map_err(|source| InstanceError::File {
            what: "find a free port for PostgreSQL, used by",
            path: PathBuf::from(&plan.loaded.config.db.data_dir),
            source,
        })?,
        port => port,
    });
    if let Some(address) = listeners.addresses().first() {
        config.url = format!("http://127.0.0.1:{}", address.port());
    }
    Ok(Some(Cluster::start(config, tasks, progress).await?))
}

/// What was made before the database was there.
struct Late {
    keys: keys::Keys,
    listeners: Listeners,
}

async fn finish(
    plan: Plan<'_>,
    cluster: Option<&Cluster>,
    late: Late,
    context: &Context,
) -> Result<(App, Prepared, Option<Secret>), DevError> {
    let targets = targets(&plan.loaded.config, cluster)?;
    let mut prepared = prepare(&plan, &targets, cluster.is_some()).await?;
    // Our own cluster has the logins that rooms need.
    let [no_auth, no_work, no_storage, no_ai] = match cluster {
        Some(_) => [None, None, None, None],
        None => obstacles(&targets).await?,
    };
    let auth_database = no_auth.is_none().then_some(targets.auth);
    let work_database = no_work.is_none().then_some(targets.work);
    let files = no_storage.is_none() && plan.loaded.config.storage.enabled;
    let storage_database = files.then_some(targets.storage);
    let ai_database = no_ai.is_none().then_some(targets.models);
    prepared.degradations.extend(no_ai);
    prepared.degradations.extend(no_auth);
    prepared.degradations.extend(no_work);
    prepared.degradations.extend(no_storage);
    let db_url = db_url(&plan.loaded.config, cluster);
    let parts = Parts {
        loaded: plan.loaded,
        sources: plan.sources,
        keys: late.keys,
        listeners: late.listeners,
        database: targets.requests,
        auth_database,
        work_database,
        storage_database,
        ai_database,
    };
    let app = Box::pin(App::start(parts, context)).await?;
    let told = app.warnings().map(str::to_owned);
    prepared.degradations.extend(told);
    Ok((app, prepared, db_url))
}

/// Why rooms cannot work with the logins there are: sign-in, then jobs and
/// sessions, then files, then models.
async fn obstacles(targets: &Targets) -> Result<[Option<String>; 4], StartError> {
    let failed = |source| StartError::Database {
        what: "connect to the database",
        source,
    };
    let auth = wire::auth::obstacle(&targets.auth).await.map_err(failed)?;
    let work = wire::work::obstacle(&targets.work).await.map_err(failed)?;
    let storage = wire::storage::obstacle(&targets.storage).await;
    let models = wire::models::obstacle(&targets.models).await;
    Ok([
        auth,
        work,
        storage.map_err(failed)?,
        models.map_err(failed)?,
    ])
}

/// Our schema, then the project's. Seeds are for a database of our own only.
async fn prepare(plan: &Plan<'_>, targets: &Targets, own: bool) -> Result<Prepared, DevError> {
    let config = &plan.loaded.config;
    let mut prepared = Prepared::default();
    if !config.db.migrate {
        return Ok(prepared);
    }
    let mut session = connect(&targets.platform).await?;
    prepared.degradations = platform(&mut session).await?;
    for history in wire::apps::histories(config) {
        migrate_app(&mut session, history, &MigrateOptions::default()).await?;
    }
    if own && config.mode == Mode::Dev {
        let _ = operate::set_local_password(&mut session, OWNER, LOCAL_PASSWORD).await;
    }
    if let Some(project) = plan.project {
        let mut session = connect(&targets.project).await?;
        prepared.applied = project.apply(&mut session, own && plan.seed).await?;
        let other = project.other_version(session.server_version());
        prepared.applied.warnings.extend(other);
        session.close().await;
    }
    // As the platform's role, which may close what the project left open.
    let schemas: Vec<&str> = config.db.schemas.iter().map(String::as_str).collect();
    prepared.exposed = unprotected_tables(&mut session, &schemas).await?;
    session.close().await;
    Ok(prepared)
}

/// Brings our schema up to date and tells what does not work here.
pub(crate) async fn platform(session: &mut Session) -> Result<Vec<String>, DevError> {
    let report = migrate(session, &MigrateOptions::default()).await?;
    Ok(report
        .degradations
        .iter()
        .map(ToString::to_string)
        .collect())
}

pub(crate) async fn connect(target: &Target) -> Result<Session, StartError> {
    let what = "connect to the database";
    Session::connect(target)
        .await
        .map_err(|source| StartError::Database { what, source })
}

/// A database of somebody else's is entered as its URL says in every case.
pub(crate) fn targets(config: &Config, cluster: Option<&Cluster>) -> Result<Targets, TargetError> {
    if let Some(cluster) = cluster {
        return Ok(Targets::managed(|user| cluster.target(user, DATABASE)));
    }
    let target = Target::parse(config.db.url.as_ref().map_or("", Secret::expose))?;
    Ok(Targets {
        platform: target.clone(),
        project: target.clone(),
        auth: target.clone(),
        work: target.clone(),
        storage: target.clone(),
        models: target.clone(),
        requests: target,
    })
}

impl Targets {
    /// The roles of a managed cluster that own things: ours, and the project's.
    pub(crate) fn managed(target: impl Fn(&str) -> Target) -> Self {
        Self {
            platform: target(Cluster::superuser()),
            project: target(OWNER),
            requests: target(AUTHENTICATOR),
            auth: target(AUTH_ADMIN),
            work: target(wire::work::ROLE),
            storage: target(wire::storage::ROLE),
            models: target(wire::models::ROLE),
        }
    }
}

/// The URL to show. `serve` sets no password, so nobody could use one.
fn db_url(config: &Config, cluster: Option<&Cluster>) -> Option<Secret> {
    match cluster {
        Some(cluster) if config.mode == Mode::Dev => {
            cluster.tcp_url(OWNER, &Secret::new(LOCAL_PASSWORD), DATABASE)
        }
        Some(_) => None,
        None => config.db.url.clone(),
    }
}

pub(crate) async fn stop_cluster(cluster: Option<Cluster>, tasks: &Tasks) {
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    tasks.stop().await;
}

impl Running {
    /// The database as types, again whenever the schema has changed.
    #[must_use]
    pub fn watch_types(&self, request: typegen::Request) -> typegen::Watch {
        typegen::Watch::new(self.platform.clone(), request)
    }

    /// Resolves when the managed PostgreSQL has died too often, with the reason
    /// for the operator.
    pub async fn database_failed(&self) -> String {
        let Some(cluster) = &self.cluster else {
            return std::future::pending().await;
        };
        let mut state = cluster.state();
        loop {
            if let ClusterState::Failed(why) = &*state.borrow_and_update() {
                return why.clone();
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Drains requests, then stops PostgreSQL cleanly.
    pub async fn shutdown(self) {
        self.backups.stop().await;
        self.app.shutdown().await;
        stop_cluster(self.cluster, &self.cluster_tasks).await;
    }
}
