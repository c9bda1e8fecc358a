//! What the verbs beside `dev` and `serve` do: open a project's database
//! wherever it is, rebuild it, migrate it, look at it.
//!
//! [`Database::open`] takes the database of `db.url`, else that of a running
//! instance, else starts the managed cluster for as long as it is needed.

pub mod access;
mod api_keys;
pub mod backup;
mod examine;
pub mod remote;
mod s3_keys;
pub mod storage;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use kernel::Tasks;
use pg::cluster::{Cluster, ClusterConfig, MAJORS};
use pg::{Session, SqlBuf, Target};

use crate::app::Context;
use crate::config::Config;
use crate::dev::{DevError, Targets, connect, platform, stop_cluster, targets};
use crate::project::migrations::{self, Listed, UpReport};
use crate::project::{Applied, Exposed, Project, recreate_database, unprotected_tables};
use crate::typegen;

pub use api_keys::{ApiKeyError, NewKey};
pub use examine::Examined;
pub use pg::cluster::{
    ClusterError, Found, Search, can_install, find, install_hint, read_instance,
};
pub use s3_keys::NewS3Key;

/// PostgreSQL's usual port, which names the socket of a cluster without TCP.
const SOCKET_PORT: u16 = 5432;
/// Connections for one who drops and makes the others.
const MAINTENANCE_DATABASE: &str = "template1";
const DATABASE: &str = "postgres";
/// The file that a managed cluster's folder is held by.
const CLUSTER_LOCK: &str = "lock";

/// A database that is open for work.
pub struct Database {
    targets: Targets,
    cluster: Option<Cluster>,
    tasks: Tasks,
}

impl Database {
    /// Finds or starts it. Call [`Database::close`] in the end.
    pub async fn open(
        config: &Config,
        search: &Search,
        context: &Context,
        progress: impl Fn(&str) + Send + Sync,
    ) -> Result<Self, DevError> {
        if let Some(running) = Self::open_running(config)? {
            return Ok(running);
        }
        crate::instance::make_folder(&config.db.data_dir)?;
        let tasks = Tasks::new();
        let wanted = cluster_config(config, search, context);
        let cluster = Cluster::start(wanted, &tasks, progress).await?;
        Ok(Self {
            targets: targets(config, Some(&cluster))?,
            cluster: Some(cluster),
            tasks,
        })
    }

    /// The same, unless the cluster would have to be started for it.
    pub fn open_running(config: &Config) -> Result<Option<Self>, DevError> {
        let targets = match &config.db.url {
            Some(_) => Some(targets(config, None)?),
            None => running_cluster(config),
        };
        Ok(targets.map(|targets| Self {
            targets,
            cluster: None,
            tasks: Tasks::new(),
        }))
    }

    /// Drops the database, makes it again, and applies everything to it.
    pub async fn reset(
        &self,
        project: Option<&Project>,
        seed: bool,
        schemas: &[String],
    ) -> Result<(Applied, Vec<Exposed>), DevError> {
        let name = self.targets.platform.database.clone();
        let admin = self
            .targets
            .platform
            .clone()
            .with_database(MAINTENANCE_DATABASE);
        let mut admin = connect(&admin).await?;
        let recreated = recreate_database(&mut admin, &name).await;
        admin.close().await;
        recreated?;
        let mut session = connect(&self.targets.platform).await?;
        platform(&mut session).await?;
        let mut applied = Applied::default();
        if let Some(project) = project {
            let mut session = connect(&self.targets.project).await?;
            // Whoever resets a database asks for the seeds, wherever it is.
            applied = project.apply(&mut session, seed).await?;
            session.close().await;
        }
        let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
        let exposed = unprotected_tables(&mut session, &schemas).await?;
        reload(&mut session).await;
        session.close().await;
        Ok((applied, exposed))
    }

    /// Applies the project's missing migrations.
    pub async fn migrate(
        &self,
        folder: &Path,
        include_all: bool,
        schemas: &[String],
    ) -> Result<(UpReport, Vec<Exposed>), DevError> {
        let mut owner = connect(&self.targets.platform).await?;
        platform(&mut owner).await?;
        let mut session = connect(&self.targets.project).await?;
        let report = migrations::up(&mut session, folder, include_all).await?;
        session.close().await;
        let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
        let exposed = unprotected_tables(&mut owner, &schemas).await?;
        reload(&mut owner).await;
        owner.close().await;
        Ok((report, exposed))
    }

    /// Whether there is a database to open: one by URL, or a managed cluster
    /// that [`Database::open`] would find instead of making it.
    #[must_use]
    pub fn exists(config: &Config) -> bool {
        // The lock file stays behind whatever was once started here, also when
        // its data had to be put elsewhere.
        let clusters = MAJORS.map(|major| format!("pg{major}"));
        let mut traces = clusters.chain([CLUSTER_LOCK.to_owned()]);
        config.db.url.is_some() || traces.any(|name| config.db.data_dir.join(name).exists())
    }

    /// The project's files and the database's history side by side.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Listed>, DevError> {
        // The project's own role is missing until our schema has been applied.
        let mut session = connect(&self.targets.platform).await?;
        let listed = migrations::list(&mut session, folder).await?;
        session.close().await;
        Ok(listed)
    }

    /// The database as types.
    pub async fn types(&self, request: &typegen::Request) -> Result<String, DevError> {
        let mut session = connect(&self.targets.platform).await?;
        let text = typegen::typescript(&mut session, request).await;
        session.close().await;
        Ok(text?)
    }

    /// The same again and again, whenever the schema has changed.
    #[must_use]
    pub fn watch_types(&self, request: typegen::Request) -> typegen::Watch {
        typegen::Watch::new(self.targets.platform.clone(), request)
    }

    /// Stops what [`Database::open`] has started.
    pub async fn close(self) {
        stop_cluster(self.cluster, &self.tasks).await;
    }
}

/// Servers that listen read the catalog again; those that cannot be told find
/// out by themselves.
async fn reload(session: &mut Session) {
    if let Err(error) = session.script("NOTIFY pgrst, 'reload schema'").await {
        tracing::debug!(%error, "Could not ask for a reload of the catalog");
    }
}

/// The cluster of a running instance, entered through its private socket.
fn running_cluster(config: &Config) -> Option<Targets> {
    let instance = read_instance(&config.db.data_dir).filter(|instance| instance.alive)?;
    let port = instance.port.unwrap_or(SOCKET_PORT);
    Some(Targets::managed(|user| {
        Target::socket(&instance.socket_dir, port, user, DATABASE)
    }))
}

/// The managed cluster of these settings, behind its private socket only.
pub(crate) fn cluster_config(config: &Config, search: &Search, context: &Context) -> ClusterConfig {
    ClusterConfig {
        search: search.clone(),
        port: None,
        ..ClusterConfig::new(&config.db.data_dir, context.clock.clone())
    }
}

/// A port that nobody listens on right now; PostgreSQL takes it a moment later.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Gives a role its local password unless somebody has given it one.
pub(crate) async fn set_local_password(
    session: &mut Session,
    role: &str,
    password: &'static str,
) -> Result<(), pg::Error> {
    let sql = SqlBuf::fixed(
        "SELECT FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolpassword IS NULL",
    )
    .bind(role.to_owned());
    if session.query_buf(&sql).await?.is_empty() {
        return Ok(());
    }
    let mut alter = SqlBuf::new();
    alter
        .lit("ALTER ROLE ")
        .ident(role)
        .lit(" PASSWORD '")
        .lit(password)
        .lit("'");
    session.query_buf(&alter).await.map(|_| ())
}

/// Installs the distribution's PostgreSQL; blocks until that has ended.
pub fn install_postgres(progress: &dyn Fn(&str)) -> Result<(), ClusterError> {
    pg::cluster::install_distribution_package(progress)
}

/// The folder where a project's migrations are.
#[must_use]
pub fn migrations_folder(root: &Path) -> PathBuf {
    root.join("supabase/migrations")
}
