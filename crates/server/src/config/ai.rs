//! Settings of models: the rows of the table, and the sections of providers
//! and roles, whose names are the operator's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kernel::Secret;
use models::{Raw, RawProvider, RawRole};
use serde::de::DeserializeOwned;

use super::key::{Key, Kind, key};
use super::sources::Merged;
use super::{ConfigError, Mode};

/// The rows of section `ai`.
pub(super) const KEYS: [Key; 6] = [
    key("ai.enabled", Kind::Flag, "true", "Serve models at /ai/v1."),
    key(
        "ai.demo",
        Kind::Flag,
        "true",
        "Let the scripted demo, which is no model and says so, answer where no model is set up.",
    )
    .serve("false"),
    key(
        "ai.local",
        Kind::Flag,
        "true",
        "Where no provider is set up, look for Ollama, llama.cpp, LM Studio and vLLM on this machine at start.",
    )
    .serve("false"),
    key(
        "ai.models_file",
        Kind::Text,
        "",
        "File of models, limits and prices that is laid over the one in the binary.",
    ),
    key(
        "ai.keep",
        Kind::Span,
        "9600h",
        "How long calls stay in the ledger.",
    ),
    key(
        "ai.cache_for",
        Kind::Span,
        "24h",
        "How old an answer may be that a role with `cache` gives again.",
    ),
];

/// `[ai.providers.<name>]` and `[ai.roles.<name>]` as they were written, and
/// the variables of the environment that hold keys.
#[derive(Clone, Default)]
pub(super) struct Sections {
    providers: BTreeMap<String, toml::Table>,
    roles: BTreeMap<String, toml::Table>,
    env: Vec<(String, Secret)>,
}

/// They hold secrets.
impl std::fmt::Debug for Sections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sections").finish_non_exhaustive()
    }
}

impl Sections {
    /// One table of the file: `providers` or `roles`. Says whether it is one.
    pub(super) fn file(&mut self, kind: &str, within: &toml::Table) -> Option<()> {
        let sections = self.named(kind)?;
        for (name, table) in within {
            let table = table.as_table()?.clone();
            sections.insert(name.clone(), table);
        }
        Some(())
    }

    /// `FERROBASE__AI__PROVIDERS__NAME__KEY`, as `providers.name.key`.
    pub(super) fn env(&mut self, path: &str, text: &str) -> Option<()> {
        let mut names = path.splitn(3, '.');
        let (kind, name, field) = (names.next()?, names.next()?, names.next()?);
        let value = match field {
            "routes" => {
                let items = text.split(',').map(|item| item.trim().to_owned().into());
                toml::Value::Array(items.collect())
            }
            "key" | "url" | "kind" | "vendor" => text.to_owned().into(),
            _ => match (text.parse::<i64>(), text.parse::<bool>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(flag)) => flag.into(),
                _ => text.to_owned().into(),
            },
        };
        let table = self.named(kind)?.entry(name.to_owned()).or_default();
        table.insert(field.to_owned(), value);
        Some(())
    }

    fn named(&mut self, kind: &str) -> Option<&mut BTreeMap<String, toml::Table>> {
        match kind {
            "providers" => Some(&mut self.providers),
            "roles" => Some(&mut self.roles),
            _ => None,
        }
    }

    /// Takes the variables that hold keys: those with usual names, and those
    /// that a provider names by `env(NAME)`.
    pub(super) fn keys(&mut self, env: &[(String, String)]) {
        let texts = self
            .providers
            .values()
            .filter_map(|table| table.get("key")?.as_str());
        let named = texts.filter_map(|key| key.strip_prefix("env(")?.strip_suffix(')'));
        let mut wanted: Vec<&str> = models::config::usual_key_names().collect();
        wanted.extend(named);
        let found = env
            .iter()
            .filter(|(name, value)| wanted.contains(&name.as_str()) && !value.is_empty());
        let found = found.map(|(name, value)| (name.clone(), Secret::new(value)));
        self.env = found.collect();
    }
}

/// Models.
#[derive(Clone, Debug)]
pub struct AiConfig {
    /// At all.
    pub enabled: bool,
    /// Look for local servers.
    pub local: bool,
    /// The operator's file of models.
    pub models_file: Option<PathBuf>,
    /// What the gateway is told, but for what is found at start.
    pub raw: Raw,
}

pub(super) fn check(_: Mode, merged: &Merged) -> Result<AiConfig, ConfigError> {
    let sections = &merged.ai;
    let raw = Raw {
        providers: typed::<RawProvider>("ai.providers", &sections.providers)?,
        roles: typed::<RawRole>("ai.roles", &sections.roles)?,
        env: sections.env.clone(),
        demo: merged.flag("ai.demo")?,
        keep: merged.span("ai.keep")?,
        cache_for: merged.span("ai.cache_for")?,
        ..Raw::default()
    };
    if raw.keep < Duration::from_secs(3600) {
        return Err(merged.invalid("ai.keep", "expected at least 1h"));
    }
    // A mistake is told before anything starts.
    models::Config::check(raw.clone()).map_err(invalid)?;
    let models_file = merged.text("ai.models_file");
    Ok(AiConfig {
        enabled: merged.flag("ai.enabled")?,
        local: merged.flag("ai.local")?,
        models_file: (!models_file.is_empty()).then(|| PathBuf::from(models_file)),
        raw,
    })
}

/// What the room says of its settings.
pub(crate) fn invalid(reason: String) -> ConfigError {
    ConfigError::Invalid {
        path: "ai".to_owned(),
        origin: None,
        reason,
    }
}

fn typed<T: DeserializeOwned>(
    section: &str,
    tables: &BTreeMap<String, toml::Table>,
) -> Result<BTreeMap<String, T>, ConfigError> {
    let read = |(name, table): (&String, &toml::Table)| {
        let value: Result<T, toml::de::Error> = table.clone().try_into();
        value
            .map(|value| (name.clone(), value))
            .map_err(|error| ConfigError::Invalid {
                path: format!("{section}.{name}"),
                origin: None,
                reason: harmless(error.message()),
            })
    };
    tables.iter().map(read).collect()
}

/// What a parser says names fields, and sometimes values, which may be secret.
fn harmless(message: &str) -> String {
    let names_only = ["unknown field", "unknown variant", "missing field"];
    if names_only.iter().any(|begin| message.starts_with(begin)) {
        return message.to_owned();
    }
    "a value is of another type than expected".to_owned()
}
