//! `ferrobase dev`: from an empty folder to a running backend. PostgreSQL is
//! started or found, our schema and then the project's are applied, and the
//! app is put on top.

use pg::cluster::{Cluster, ClusterConfig, ClusterError};
use pg::migrate::{MigrateError, MigrateOptions, migrate};
use pg::{Session, Target, TargetError};

use kernel::Tasks;

use crate::app::{App, Context, StartError};
use crate::config::{Config, Loaded, Sources};
use crate::keys;
use crate::project::{Applied, Exposed, Project, ProjectError, unprotected_tables};

/// The role that requests enter the database with.
const AUTHENTICATOR: &str = "authenticator";
/// The role that a Supabase project's migrations run as.
const OWNER: &str = "postgres";
const DATABASE: &str = "postgres";

/// Why `dev` did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
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
    /// The rest.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A backend with its database.
pub struct Running {
    /// The server.
    pub app: App,
    /// The PostgreSQL that we look after, unless `db.url` names another.
    pub cluster: Option<Cluster>,
    /// What was done to the database on the way.
    pub prepared: Prepared,
    /// Tasks of the cluster, stopped after the app's.
    cluster_tasks: Tasks,
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

/// Roles of the managed cluster that own things: ours, and the project's.
struct Targets {
    platform: Target,
    project: Target,
    requests: Target,
}

/// Starts everything. `progress` hears one sentence before each step that
/// takes noticeable time.
pub async fn run(
    loaded: Loaded,
    sources: Sources,
    project: Option<&Project>,
    context: &Context,
    progress: impl Fn(&str) + Send + Sync,
) -> Result<Running, DevError> {
    let config = &loaded.config;
    // Keys first: they are quick and may refuse.
    let keys = keys::resolve(config, &config.db.data_dir, &context.clock, &context.rng)
        .map_err(StartError::from)?;

    let cluster_tasks = Tasks::new();
    let cluster = match &config.db.url {
        Some(_) => None,
        None => {
            Some(Cluster::start(cluster_config(config, context), &cluster_tasks, &progress).await?)
        }
    };
    let targets = targets(config, cluster.as_ref())?;
    let prepared = prepare(&targets, project, cluster.is_some(), &config.db.schemas).await?;
    let app = App::start(loaded, sources, keys, targets.requests, context).await?;
    Ok(Running {
        app,
        cluster,
        prepared,
        cluster_tasks,
    })
}

/// Our schema, then the project's. Seeds are for a database of our own only.
async fn prepare(
    targets: &Targets,
    project: Option<&Project>,
    own: bool,
    schemas: &[String],
) -> Result<Prepared, DevError> {
    let mut prepared = Prepared::default();
    let mut session = connect(&targets.platform).await?;
    let report = migrate(&mut session, &MigrateOptions::default()).await?;
    prepared.degradations = report
        .degradations
        .iter()
        .map(ToString::to_string)
        .collect();
    if let Some(project) = project {
        let mut session = connect(&targets.project).await?;
        prepared.applied = project.apply(&mut session, own).await?;
        session.close().await;
    }
    // As the platform's role, which may close what the project left open.
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    prepared.exposed = unprotected_tables(&mut session, &schemas).await?;
    session.close().await;
    Ok(prepared)
}

async fn connect(target: &Target) -> Result<Session, StartError> {
    let what = "connect to the database";
    Session::connect(target)
        .await
        .map_err(|source| StartError::Database { what, source })
}

/// Who enters the database for what. A database of somebody else's is entered
/// as its URL says in every case.
fn targets(config: &Config, cluster: Option<&Cluster>) -> Result<Targets, TargetError> {
    if let Some(cluster) = cluster {
        return Ok(Targets {
            platform: cluster.target(Cluster::superuser(), DATABASE),
            project: cluster.target(OWNER, DATABASE),
            requests: cluster.target(AUTHENTICATOR, DATABASE),
        });
    }
    let target = Target::parse(config.db.url.as_ref().map_or("", kernel::Secret::expose))?;
    Ok(Targets {
        platform: target.clone(),
        project: target.clone(),
        requests: target,
    })
}

fn cluster_config(config: &Config, context: &Context) -> ClusterConfig {
    ClusterConfig {
        port: (config.db.port > 0).then_some(config.db.port),
        url: format!("http://127.0.0.1:{}", config.api.port),
        ..ClusterConfig::new(&config.db.data_dir, context.clock.clone())
    }
}

impl Running {
    /// Drains requests, then stops PostgreSQL cleanly.
    pub async fn shutdown(self) {
        self.app.shutdown().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
        self.cluster_tasks.stop().await;
    }
}
