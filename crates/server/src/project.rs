//! A Supabase project's folder: `supabase/config.toml`, `migrations`, `seed.sql`,
//! `roles.sql`, `.env` files, read and applied as the official CLI does.
//!
//! Start at [`Project::load`] (files only) and [`Project::apply`] (the database:
//! roles once, migrations, seeds once). The verbs of the command line are
//! [`migrations::up`], [`migrations::list`], [`migrations::new`] and
//! [`recreate_database`]. Our own settings are not here: `ferrobase.toml` is
//! `server::config`'s.

use std::path::{Path, PathBuf};

use pg::Session;

pub mod buckets;
pub mod config;
mod dotenv;
mod error;
mod exposure;
pub(crate) mod history;
pub mod migrations;
mod reset;
mod run;
mod seed;
mod split;
mod statement;
#[cfg(test)]
mod tests;

pub use config::ProjectConfig;
pub use error::ProjectError;
pub use exposure::{Exposed, Exposure, unprotected_tables};
pub use reset::recreate_database;
pub use seed::{SeedReport, seed};
pub use split::{Place, Statement, split};

/// A project's folder and what its `config.toml` says.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder that contains `supabase`.
    pub root: PathBuf,
    /// Its settings; empty when there is no `config.toml`.
    pub config: ProjectConfig,
    /// Unknown settings and missing variables, one line each.
    pub warnings: Vec<String>,
}

/// What [`Project::apply`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Migration files applied now.
    pub migrations: Vec<String>,
    /// Seed files run now.
    pub seeds: Vec<String>,
    /// What was passed over, one line each.
    pub warnings: Vec<String>,
}

impl Project {
    /// Reads the project at `root`, or `None` if there is no folder `supabase`.
    /// `env` is the process's environment; it outranks `.env` files.
    pub fn load(
        root: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProjectError> {
        if !root.join("supabase").is_dir() {
            return Ok(None);
        }
        let path = root.join("supabase/config.toml");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(ProjectError::file("read", &path))?,
        };
        let files = dotenv::Env::load(root)?;
        let lookup = |name: &str| env(name).or_else(|| files.get(name).map(str::to_owned));
        let (config, warnings) = config::parse(&path, &text, &lookup)?;
        Ok(Some(Self {
            root: root.to_owned(),
            config,
            warnings,
        }))
    }

    /// Where the migrations are.
    #[must_use]
    pub fn migrations_folder(&self) -> PathBuf {
        self.root.join("supabase/migrations")
    }

    /// What to say when another PostgreSQL runs than the project was made for.
    /// `running` is the server's number, as `150018`.
    #[must_use]
    pub fn other_version(&self, running: u32) -> Option<String> {
        let (running, wanted) = (running / 10_000, self.config.db.major_version?);
        (running != u32::from(wanted)).then(|| {
            format!(
                "supabase/config.toml says `db.major_version = {wanted}`, but PostgreSQL {running} \
                 is running: what only one of them knows may fail"
            )
        })
    }

    /// Brings the database up to the folder: missing migrations and, if `seed`,
    /// before them `roles.sql` and after them the seed files, unless they have
    /// run. Both are for a database of one's own, never for one that was given
    /// by URL. `session` belongs to the role that migrations run as:
    /// `postgres` on our own cluster.
    pub async fn apply(&self, session: &mut Session, seed: bool) -> Result<Applied, ProjectError> {
        let db = &self.config.db;
        let mut applied = Applied::default();
        if seed {
            let mut roles = seed::roles(session, &self.root).await?;
            applied.warnings.append(&mut roles.warnings);
        }
        if db.migrations_enabled.unwrap_or(true) {
            let mut up = migrations::up(session, &self.migrations_folder(), false).await?;
            applied.migrations = up.applied;
            applied.warnings.append(&mut up.warnings);
        }
        if seed && db.seed_enabled.unwrap_or(true) {
            let default = || vec!["./seed.sql".to_owned()];
            let patterns = db.seed_sql_paths.clone().unwrap_or_else(default);
            let mut seeds = seed::seed(session, &self.root, &patterns).await?;
            applied.seeds = seeds.ran;
            applied.warnings.append(&mut seeds.warnings);
        }
        // Before anybody asks for them. Without our schema there are none.
        buckets::apply(session, &self.config.storage.buckets).await?;
        Ok(applied)
    }
}
