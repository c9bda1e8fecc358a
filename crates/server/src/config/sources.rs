//! Where settings come from: file, environment, flags. Each source is turned
//! into the same shape, (known name, value, origin), and laid over the one
//! before it. Nothing is interpreted here beyond text and list; `check.rs`
//! gives the values their meaning.

use std::collections::BTreeMap;
use std::fmt;

use super::all::{self, KEYS};
use super::key::{Key, Kind};
use super::nearest::nearest;
use super::table::POSTGREST_WITHOUT_EFFECT;
use super::{ConfigError, Mode};

/// Who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody; the built-in value.
    Default,
    /// The settings file of this name.
    File(String),
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag(String),
    /// `ALTER ROLE … SET pgrst.…` in the database.
    Database,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => f.write_str(name),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Database => f.write_str("database"),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What was said.
    pub value: Value,
    /// Who said it.
    pub origin: Origin,
}

/// A command-line flag that sets a setting.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The setting's path in the table.
    pub path: &'static str,
    /// The flag as typed, for error messages.
    pub flag: &'static str,
    /// The value.
    pub value: String,
}

/// Settings of the auth room: too many and too deep for the table. The room
/// checks them itself.
#[derive(Clone, Default)]
pub struct AuthSource {
    /// `[auth]` of `supabase/config.toml`, `env(…)` replaced.
    pub section: serde_json::Value,
    /// What the section's paths begin at: the project's folder.
    pub folder: Option<std::path::PathBuf>,
    /// The text of the file that `signing_keys_path` names.
    pub signing_keys: Option<kernel::Secret>,
    /// `GOTRUE_…` and `API_EXTERNAL_URL` of the environment.
    pub env: Vec<(String, String)>,
}

/// It holds secrets.
impl fmt::Debug for AuthSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSource")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Everything that may hold settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What the auth room reads for itself.
    pub auth: std::sync::Arc<AuthSource>,
    /// What the project's `supabase/config.toml` says, by our names.
    pub project: Vec<(&'static str, String)>,
    /// Name and text of `ferrobase.toml`, if there is one.
    pub file: Option<(String, String)>,
    /// The process's environment, read by the caller.
    pub env: Vec<(String, String)>,
    /// Flags.
    pub flags: Vec<Flag>,
    /// Settings of the database role, names without `pgrst.`: the last word,
    /// as with PostgREST, but only about the data API.
    pub database: Vec<(String, String)>,
}

/// All sources laid over one another.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) auth: std::sync::Arc<AuthSource>,
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) app_settings: BTreeMap<String, String>,
    pub(super) ai: super::ai::Sections,
    pub(super) warnings: Vec<String>,
}

const PROJECT_FILE: &str = "supabase/config.toml";
const OWN_PREFIX: &str = "FERROBASE__";
const POSTGREST_PREFIX: &str = "PGRST_";
const APP_SETTINGS_PREFIX: &str = "APP_SETTINGS_";
const APP_SETTINGS_SECTION: &str = "app_settings";
/// Below these are sections of their own: of each app, and of where files are.
const NESTED_SECTIONS: [&str; 3] = ["apps", "storage", "backup"];

pub(super) fn merge(mode: Mode, sources: &Sources) -> Result<Merged, ConfigError> {
    let mut merged = Merged {
        auth: std::sync::Arc::clone(&sources.auth),
        ..Merged::default()
    };
    for key in KEYS {
        let default = match mode {
            Mode::Serve => key.serve_default.unwrap_or(key.default),
            Mode::Dev => key.default,
        };
        merged.put(key, default, Origin::Default);
    }
    for (path, value) in &sources.project {
        let origin = Origin::File(PROJECT_FILE.to_owned());
        let key = all::find(path).ok_or_else(|| unknown(path, &origin))?;
        merged.put(key, value, origin);
    }
    if let Some((name, text)) = &sources.file {
        merged.file(name, text)?;
    }
    merged.supabase(&sources.env);
    merged.postgrest(&sources.env);
    merged.own(&sources.env)?;
    merged.ai.keys(&sources.env);
    for flag in &sources.flags {
        let key = all::find(flag.path)
            .ok_or_else(|| unknown(flag.path, &Origin::Flag(flag.flag.to_owned())))?;
        merged.put(key, &flag.value, Origin::Flag(flag.flag.to_owned()));
    }
    merged.database(&sources.database);
    Ok(merged)
}

impl Merged {
    fn put(&mut self, key: &'static Key, text: &str, origin: Origin) {
        let value = if key.kind == Kind::List {
            Value::List(split(text))
        } else {
            Value::Text(text.to_owned())
        };
        self.settings.insert(key.path, Setting { value, origin });
    }

    /// `ferrobase.toml`: sections of one level, but for those of apps and of
    /// where files are, nothing unknown.
    fn file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let origin = Origin::File(name.to_owned());
        let parsed: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| ConfigError::Syntax {
                    file: name.to_owned(),
                    message: error.to_string(),
                })?;
        for (section, content) in parsed {
            let toml::Value::Table(content) = content else {
                return Err(unknown(&section, &origin));
            };
            for (name, value) in content {
                if section == APP_SETTINGS_SECTION {
                    self.app_settings.insert(
                        name.clone(),
                        scalar(&value).ok_or_else(|| not_a_scalar(&section, &name))?,
                    );
                    continue;
                }
                match value {
                    toml::Value::Table(within) if section == "ai" => {
                        let path = format!("{section}.{name}");
                        self.ai
                            .file(&name, &within)
                            .ok_or_else(|| unknown(&path, &origin))?;
                    }
                    toml::Value::Table(within) if NESTED_SECTIONS.contains(&section.as_str()) => {
                        let section = format!("{section}.{name}");
                        for (name, value) in within {
                            self.said(&section, &name, &value, &origin)?;
                        }
                    }
                    value => self.said(&section, &name, &value, &origin)?,
                }
            }
        }
        Ok(())
    }

    /// One line of the file.
    fn said(
        &mut self,
        section: &str,
        name: &str,
        value: &toml::Value,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        let path = format!("{section}.{name}");
        let key = all::find(&path).ok_or_else(|| unknown(&path, origin))?;
        let value = from_toml(key, value).ok_or_else(|| not_a_scalar(section, name))?;
        let origin = origin.clone();
        self.settings.insert(key.path, Setting { value, origin });
        Ok(())
    }

    /// `.env` names of a self-hosted Supabase.
    fn supabase(&mut self, env: &[(String, String)]) {
        for (name, value) in env {
            if let Some(key) = KEYS.iter().find(|key| key.supabase == Some(name.as_str())) {
                self.put(key, value, Origin::Env(name.clone()));
            }
        }
    }

    /// PostgREST's names. What it does not know itself it ignores, so an
    /// unknown one is a warning and not an error.
    fn postgrest(&mut self, env: &[(String, String)]) {
        for (name, value) in env {
            let Some(bare) = name.strip_prefix(POSTGREST_PREFIX) else {
                continue;
            };
            if let Some(setting) = bare.strip_prefix(APP_SETTINGS_PREFIX) {
                self.app_settings
                    .insert(setting.to_ascii_lowercase(), value.clone());
            } else if let Some(key) = KEYS.iter().find(|key| key.postgrest == Some(bare)) {
                self.put(key, value, Origin::Env(name.clone()));
            } else if !POSTGREST_WITHOUT_EFFECT.contains(&bare) {
                self.warnings
                    .push(format!("{name} is no setting known here and was ignored"));
            }
        }
    }

    /// What the database says about the data API. Where to connect, listen
    /// and whom to trust is not for the database to say.
    fn database(&mut self, settings: &[(String, String)]) {
        for (name, value) in settings {
            let name = name.to_ascii_uppercase();
            if let Some(setting) = name.strip_prefix(APP_SETTINGS_PREFIX) {
                self.app_settings
                    .insert(setting.to_ascii_lowercase(), value.clone());
                continue;
            }
            let known = KEYS.iter().find(|key| key.postgrest == Some(name.as_str()));
            if let Some(key) = known.filter(|key| of_the_data_api(key)) {
                self.put(key, value, Origin::Database);
            }
        }
    }

    /// `FERROBASE__SECTION__NAME`. A slip in one of these would silently leave
    /// a default in force, so an unknown one stops the start.
    fn own(&mut self, env: &[(String, String)]) -> Result<(), ConfigError> {
        for (name, value) in env {
            let Some(bare) = name.strip_prefix(OWN_PREFIX) else {
                continue;
            };
            let path = bare.to_ascii_lowercase().replace("__", ".");
            if let Some(setting) = path.strip_prefix("app_settings.") {
                self.app_settings.insert(setting.to_owned(), value.clone());
                continue;
            }
            let origin = Origin::Env(name.clone());
            if let Some(of_ai) = path.strip_prefix("ai.")
                && self.ai.env(of_ai, value).is_some()
            {
                continue;
            }
            let key = all::find(&path).ok_or_else(|| unknown(&path, &origin))?;
            self.put(key, value, origin);
        }
        Ok(())
    }
}

fn of_the_data_api(key: &Key) -> bool {
    const ELSEWHERE: [&str; 5] = [
        "db.url",
        "db.pool_size",
        "db.config",
        "db.channel",
        "db.channel_enabled",
    ];
    let section = key.path.split('.').next().unwrap_or_default();
    matches!(section, "db" | "rest" | "openapi") && !ELSEWHERE.contains(&key.path)
}

/// The settings that the database may say, as it calls them: PostgREST's
/// names in small letters.
#[must_use]
pub fn database_names() -> Vec<String> {
    KEYS.iter()
        .filter(|key| of_the_data_api(key))
        .filter_map(|key| Some(key.postgrest?.to_ascii_lowercase()))
        .collect()
}

fn from_toml(key: &Key, value: &toml::Value) -> Option<Value> {
    match (key.kind, value) {
        (Kind::List, toml::Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map(Value::List),
        (Kind::List, toml::Value::String(text)) => Some(Value::List(split(text))),
        (_, value) => scalar(value).map(Value::Text),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

/// `a, b` as PostgREST reads it: parts trimmed, empty parts dropped.
fn split(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn unknown(path: &str, origin: &Origin) -> ConfigError {
    ConfigError::Unknown {
        path: path.to_owned(),
        origin: origin.clone(),
        nearest: nearest(path),
    }
}

fn not_a_scalar(section: &str, name: &str) -> ConfigError {
    ConfigError::Invalid {
        path: format!("{section}.{name}"),
        origin: None,
        reason: "expected one plain value".to_owned(),
    }
}
