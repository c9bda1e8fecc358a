//! Settings: what was said (`ferrobase.toml`, environment, flags) becomes one
//! checked [`Config`] that cannot be wrong, or one clear [`ConfigError`].
//!
//! Start at [`load`]. `table.rs` lists every setting (`key.rs` has a row's
//! form), `sources.rs` merges who said what, `check.rs` gives it meaning. The environment is passed in: only
//! the binary reads the process.

mod ai;
mod all;
mod backup;
mod check;
mod key;
mod nearest;
mod sandbox;
mod sources;
mod storage;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use kernel::Secret;

pub use ai::AiConfig;
pub(crate) use ai::invalid as invalid_ai;
pub use all::KEYS;
pub use backup::{BackupConfig, CopiesConfig};
pub use key::{Key, Kind};
pub use sandbox::{PreviewDomain, SandboxConfig};
pub use sources::{AuthSource, Flag, Origin, Setting, Sources, Value, database_names};
pub use storage::StorageConfig;

/// Which command is running; some defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `ferrobase dev`: one developer, this machine.
    Dev,
    /// `ferrobase serve`: others depend on it.
    Serve,
}

/// Everything the server was told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which command is running.
    pub mode: Mode,
    /// The HTTP front.
    pub api: ApiConfig,
    /// Rates; zero means none.
    pub rate_limit: RateConfig,
    /// Logging.
    pub log: LogConfig,
    /// The database and how requests use it.
    pub db: DbConfig,
    /// The PostgREST dialect.
    pub rest: RestConfig,
    /// Tokens and keys.
    pub auth: AuthConfig,
    /// Where mails that are not sent are shown.
    pub inbox: InboxConfig,
    /// Jobs and sessions.
    pub jobs: JobsConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// Files.
    pub storage: StorageConfig,
    /// Models.
    pub ai: AiConfig,
    /// Where code runs.
    pub sandbox: SandboxConfig,
    /// Which apps are served beside the rooms.
    pub apps: AppsConfig,
    /// `app.settings.*` for the database.
    pub app_settings: BTreeMap<String, String>,
}

/// The HTTP front.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Addresses to listen on.
    pub hosts: Vec<IpAddr>,
    /// Port; 0 lets the system choose.
    pub port: u16,
    /// Refuse a request without a key.
    pub require_apikey: bool,
    /// Origins that may call; empty means all.
    pub cors_origins: Vec<String>,
    /// Connections held at once.
    pub connections_max: usize,
    /// Largest request head in bytes.
    pub header_bytes_max: usize,
    /// Time for a request head to arrive.
    pub header_timeout: Duration,
    /// Largest body in bytes.
    pub body_bytes_max: u64,
    /// Time for one request.
    pub request_timeout: Duration,
    /// Time for running requests at shutdown.
    pub drain_timeout: Duration,
    /// Believe X-Forwarded-For.
    pub trust_proxy: bool,
    /// Serve `/metrics`.
    pub metrics: bool,
    /// Send Server-Timing.
    pub server_timing: bool,
    /// Header to echo.
    pub trace_header: Option<HeaderName>,
}

impl ApiConfig {
    /// Whether only this machine can connect.
    #[must_use]
    pub fn loopback_only(&self) -> bool {
        self.hosts.iter().all(IpAddr::is_loopback)
    }
}

/// Jobs and sessions.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// At all.
    pub enabled: bool,
    /// Whether the data API shows their schema.
    pub expose: bool,
    /// How long a claim holds, unless the worker says.
    pub lease: Duration,
    /// How long finished trees are kept, unless their type says.
    pub keep: Duration,
    /// How long sessions that were deleted are kept.
    pub keep_sessions: Duration,
}

/// The built-in inbox.
#[derive(Clone, Copy, Debug)]
pub struct InboxConfig {
    /// At all.
    pub enabled: bool,
    /// Port on loopback; 0 lets the system choose.
    pub port: u16,
}

/// The apps that come with the server; none unless asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct AppsConfig {
    /// The drama generator's asset library.
    pub drama: bool,
    /// The lovable clone: the builder page and the original's web socket.
    pub lovable: Option<LovableConfig>,
    /// OMVEE's projects and uploads.
    pub omvee: bool,
    /// Open Lovable's v2 API.
    pub open_lovable: Option<OpenLovableConfig>,
}

/// The lovable clone.
#[derive(Clone, Copy, Debug)]
pub struct LovableConfig {
    /// Let callers without a token in, all as one owner.
    pub open: bool,
    /// Jobs of turns that this process works on at once.
    pub at_once: usize,
}

/// Open Lovable's v2 API.
#[derive(Clone, Copy, Debug)]
pub struct OpenLovableConfig {
    /// Let callers without a token in, all as one owner.
    pub open: bool,
}

/// Requests per second; zero means no limit.
#[derive(Clone, Copy, Debug)]
pub struct RateConfig {
    /// For one client address.
    pub per_ip: u32,
    /// For one key or token.
    pub per_key: u32,
    /// How many may come at once.
    pub burst: u32,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `error` … `trace`.
    pub level: tracing::Level,
    /// How lines look.
    pub format: LogFormat,
    /// Which requests get one.
    pub requests: LogRequests,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// Which requests get a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Every one.
    All,
    /// Those answered with 500 and more.
    Errors,
    /// None.
    None,
}

/// The database and how requests use it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
#[derive(Clone, Debug)]
pub struct DbConfig {
    /// Somebody else's PostgreSQL; none means the managed one.
    pub url: Option<Secret>,
    /// TCP port of the managed one.
    pub port: u16,
    /// Folder of cluster and keys.
    pub data_dir: PathBuf,
    /// Bring our own schema up to date at start.
    pub migrate: bool,
    /// Connections; `None` chooses by cores.
    pub pool_size: Option<usize>,
    /// Exposed schemas, never empty.
    pub schemas: Vec<String>,
    /// Role without a token; `None` refuses.
    pub anon_role: Option<String>,
    /// Added to the search path.
    pub extra_search_path: Vec<String>,
    /// Most rows in one answer.
    pub max_rows: Option<u64>,
    /// Function before each request.
    pub pre_request: Option<String>,
    /// Function at the root.
    pub root_spec: Option<String>,
    /// How transactions end.
    pub tx_end: TxEnd,
    /// Aggregates allowed.
    pub aggregates_enabled: bool,
    /// EXPLAIN allowed.
    pub plan_enabled: bool,
    /// Settings of the authenticator role count.
    pub in_database_config: bool,
    /// Function that sets configuration.
    pub pre_config: Option<String>,
    /// Channel for catalog reloads; `None` does not listen.
    pub channel: Option<String>,
    /// Prepare statements.
    pub prepared_statements: bool,
}

/// How a request's transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxEnd {
    /// Always committed.
    Commit,
    /// Committed, unless `Prefer: tx=rollback`.
    CommitAllowOverride,
    /// Always rolled back.
    Rollback,
    /// Rolled back, unless `Prefer: tx=commit`.
    RollbackAllowOverride,
}

/// The PostgREST dialect.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the operator"
)]
pub struct RestConfig {
    /// Errors carry details and hints.
    pub verbose_errors: bool,
    /// Filter by target name beside the alias.
    pub legacy_target_names: bool,
    /// Serve the data API at `/` as well.
    pub at_root: bool,
    /// What the root shows.
    pub openapi: OpenApiMode,
    /// Address the description names.
    pub openapi_server_proxy_uri: Option<String>,
    /// Describe Authorization.
    pub openapi_security_active: bool,
}

/// What the description at the root shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenApiMode {
    /// What the caller's role may use.
    FollowPrivileges,
    /// Everything.
    IgnorePrivileges,
    /// Nothing: 404.
    Disabled,
}

/// Tokens and keys as the operator set them.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Secret, JWK or JWKS.
    pub jwt: JwtSecret,
    /// Audience to insist on.
    pub jwt_aud: Option<String>,
    /// Issuers of whom tokens are accepted; any when there is none.
    pub jwt_issuers: Vec<String>,
    /// Where the role is.
    pub role_claim_key: crate::gateway::RolePath,
    /// Tokens to remember.
    pub jwt_cache_entries: usize,
    /// Legacy anon key.
    pub anon_key: Option<Secret>,
    /// Legacy `service_role` key.
    pub service_role_key: Option<Secret>,
    /// `sb_publishable_…`.
    pub publishable_key: Option<Secret>,
    /// `sb_secret_…`.
    pub secret_key: Option<Secret>,
    /// What the auth room reads for itself.
    pub source: std::sync::Arc<AuthSource>,
}

/// What tokens are verified with.
#[derive(Clone, Debug)]
pub enum JwtSecret {
    /// Nothing was said: the project's own keys.
    Project,
    /// It was said to be empty: no token can be verified (PGRST300).
    Nothing,
    /// A secret's bytes as text, a JWK or a JWKS.
    Text(Secret),
    /// A secret that was written in base64, decoded.
    Bytes(Vec<u8>),
}

/// The checked settings with their origins.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Each value with who said it, for `config explain`.
    pub settings: BTreeMap<&'static str, Setting>,
    /// What was ignored, one sentence each.
    pub warnings: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is no TOML.
    #[error("{file} cannot be read as TOML: {message}")]
    Syntax {
        /// Its name.
        file: String,
        /// What the parser said, with line and column.
        message: String,
    },
    /// No setting has this name.
    #[error("unknown setting `{path}` in {origin}{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The name.
        path: String,
        /// Where it was.
        origin: Origin,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// The value does not fit.
    #[error("setting `{path}`{} is not valid: {reason}", from(.origin.as_ref()))]
    Invalid {
        /// The setting.
        path: String,
        /// Where the value was.
        origin: Option<Origin>,
        /// What is expected; never the value of a secret.
        reason: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn from(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!(" ({origin})"))
}

/// Reads all sources, later ones outranking earlier ones: defaults, the
/// project's `supabase/config.toml`, our own file, Supabase's names, PostgREST's names, own names, flags.
pub fn load(mode: Mode, sources: &Sources) -> Result<Loaded, ConfigError> {
    let merged = sources::merge(mode, sources)?;
    let config = check::check(mode, &merged)?;
    let mut warnings = merged.warnings;
    warnings.extend(without_effect(&config, &merged.settings));
    Ok(Loaded {
        config,
        settings: merged.settings,
        warnings,
    })
}

/// Settings that another one takes the effect from: whoever asks for a
/// behaviour is told when it does not come.
fn without_effect(
    config: &Config,
    settings: &BTreeMap<&'static str, Setting>,
) -> impl Iterator<Item = String> {
    let pre_config = config.db.pre_config.is_some() && !config.db.in_database_config;
    let asked = [("db.pre_config", "db.config", pre_config)];
    asked
        .into_iter()
        .filter(|&(_, _, asked)| asked)
        .filter_map(|(path, because, _)| {
            let origin = &settings.get(path)?.origin;
            Some(format!(
                "setting `{path}` ({origin}) has no effect while `{because}` is off"
            ))
        })
}

impl Loaded {
    /// One line per setting: name, value (secrets hidden), origin.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        KEYS.iter()
            .filter_map(|key| {
                let setting = self.settings.get(key.path)?;
                let text = match &setting.value {
                    Value::Text(text) => text.clone(),
                    Value::List(items) => items.join(","),
                };
                let hidden = key.secret && !text.is_empty();
                Some(Explained {
                    path: key.path,
                    value: if hidden {
                        "[redacted]".to_owned()
                    } else {
                        text
                    },
                    origin: setting.origin.to_string(),
                    doc: key.doc,
                })
            })
            .collect()
    }
}

/// One line of `config explain`.
#[derive(Clone, Debug, serde::Serialize, PartialEq, Eq)]
pub struct Explained {
    /// The setting.
    pub path: &'static str,
    /// Its value, secrets hidden.
    pub value: String,
    /// Who said it.
    pub origin: String,
    /// What it means.
    pub doc: &'static str,
}

#[cfg(test)]
mod tests;
