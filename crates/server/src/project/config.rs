//! `supabase/config.toml`, read leniently: a key we do not know warns, one of
//! another Supabase release is passed over, only what we use must have the
//! right type. `env(NAME)` stands for a value of the environment.
//!
//! A field is `None` when the file does not say; `server::config` has the
//! defaults and decides who outranks whom.

use std::path::Path;

use toml::{Table, Value};

use super::buckets::{self, Storage};
use super::error::ProjectError;

/// What a project's `config.toml` says that concerns us.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectConfig {
    /// `project_id`
    pub project_id: Option<String>,
    /// `[api]`
    pub api: Api,
    /// `[db]`
    pub db: Db,
    /// `[inbucket]`, which newer releases call `[local_smtp]`
    pub inbox: Inbox,
    /// `[storage]`
    pub storage: Storage,
    /// `[auth]`
    pub auth: Auth,
}

/// `[inbucket]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    /// `enabled`
    pub enabled: Option<bool>,
    /// `port`
    pub port: Option<u16>,
}

/// `[api]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// `port`
    pub port: Option<u16>,
    /// `schemas`
    pub schemas: Option<Vec<String>>,
    /// `extra_search_path`
    pub extra_search_path: Option<Vec<String>>,
    /// `max_rows`
    pub max_rows: Option<u64>,
}

/// `[db]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Db {
    /// `port`
    pub port: Option<u16>,
    /// `major_version`
    pub major_version: Option<u16>,
    /// `migrations.enabled`
    pub migrations_enabled: Option<bool>,
    /// `seed.enabled`
    pub seed_enabled: Option<bool>,
    /// `seed.sql_paths`, relative to the folder `supabase`
    pub seed_sql_paths: Option<Vec<String>>,
}

/// `[auth]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// `site_url`
    pub site_url: Option<String>,
    /// `jwt_expiry`, in seconds
    pub jwt_expiry: Option<u64>,
    /// `jwt_issuer`
    pub jwt_issuer: Option<String>,
    /// `signing_keys_path`, relative to the folder `supabase`
    pub signing_keys_path: Option<String>,
    /// The whole section, for the auth room, which knows what it means.
    pub section: serde_json::Value,
}

/// The sections that any release of the official CLI writes.
const SECTIONS: [&str; 15] = [
    "project_id",
    "api",
    "db",
    "realtime",
    "studio",
    "local_smtp",
    "inbucket",
    "storage",
    "auth",
    "edge_runtime",
    "functions",
    "analytics",
    "experimental",
    "remotes",
    "email",
];

/// Their keys, for the two sections where a mistyped one would hurt silently.
const API_KEYS: [&str; 8] = [
    "enabled",
    "port",
    "schemas",
    "extra_search_path",
    "max_rows",
    "tls",
    "external_url",
    "auto_expose_new_tables",
];
const DB_KEYS: [&str; 15] = [
    "port",
    "shadow_port",
    "major_version",
    "password",
    "root_key",
    "health_timeout",
    "orioledb_version",
    "pooler",
    "migrations",
    "seed",
    "settings",
    "vault",
    "network_restrictions",
    "ssl_enforcement",
    "image",
];

/// Reads a file's text. Returns the settings and the warnings.
pub fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(ProjectConfig, Vec<String>), ProjectError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| ProjectError::Toml {
            path: path.to_owned(),
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1),
            message: error.message().to_owned(),
        })?;
    let mut read = Reader {
        path,
        env,
        warnings: Vec::new(),
    };
    read.unknown_keys("", &table, &SECTIONS);
    for (name, keys) in [("api", &API_KEYS[..]), ("db", &DB_KEYS[..])] {
        if let Some(Value::Table(section)) = table.get(name) {
            read.unknown_keys(name, section, keys);
        }
    }
    let storage = table
        .get("storage")
        .map(|storage| read.tree(storage, "storage"));
    let mut told = Vec::new();
    let storage = buckets::read(storage.as_ref(), &mut |warning| told.push(warning));
    let told = told
        .iter()
        .map(|told| format!("{}: {told}", path.display()));
    read.warnings.extend(told);
    let config = ProjectConfig {
        project_id: read.text(&table, "project_id")?,
        api: Api {
            port: read.number(&table, "api.port")?,
            schemas: read.list(&table, "api.schemas")?,
            extra_search_path: read.list(&table, "api.extra_search_path")?,
            max_rows: read.number(&table, "api.max_rows")?,
        },
        db: Db {
            port: read.number(&table, "db.port")?,
            major_version: read.number(&table, "db.major_version")?,
            migrations_enabled: read.flag(&table, "db.migrations.enabled")?,
            seed_enabled: read.flag(&table, "db.seed.enabled")?,
            seed_sql_paths: read.list(&table, "db.seed.sql_paths")?,
        },
        inbox: Inbox {
            enabled: match read.flag(&table, "local_smtp.enabled")? {
                None => read.flag(&table, "inbucket.enabled")?,
                said => said,
            },
            port: match read.number(&table, "local_smtp.port")? {
                None => read.number(&table, "inbucket.port")?,
                said => said,
            },
        },
        storage,
        auth: Auth {
            site_url: read.text(&table, "auth.site_url")?,
            jwt_expiry: read.number(&table, "auth.jwt_expiry")?,
            jwt_issuer: read.text(&table, "auth.jwt_issuer")?,
            signing_keys_path: read.text(&table, "auth.signing_keys_path")?,
            section: table
                .get("auth")
                .map_or(serde_json::Value::Null, |auth| read.tree(auth, "auth")),
        },
    };
    Ok((config, read.warnings))
}

struct Reader<'a> {
    path: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn unknown_keys(&mut self, section: &str, table: &Table, known: &[&str]) {
        let dot = if section.is_empty() { "" } else { "." };
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.warnings.push(format!(
                "{}: unknown setting `{section}{dot}{key}` is ignored",
                self.path.display()
            ));
        }
    }

    /// A value by its dotted key; a text `env(NAME)` is replaced.
    fn value(&mut self, table: &Table, key: &str) -> Option<Value> {
        let mut parts = key.split('.');
        let first = table.get(parts.next()?)?;
        let value = parts
            .try_fold(first, |value, part| value.get(part))?
            .clone();
        self.substitute(value, key)
    }

    fn substitute(&mut self, value: Value, key: &str) -> Option<Value> {
        let Value::String(text) = &value else {
            return Some(value);
        };
        let name = text
            .strip_prefix("env(")
            .and_then(|rest| rest.strip_suffix(')'));
        let Some(name) = name else {
            return Some(value);
        };
        if let Some(found) = (self.env)(name) {
            return Some(Value::String(found));
        }
        let warning = format!(
            "{}: {key} asks for the environment variable {name}, which is not set",
            self.path.display()
        );
        // A value may be read twice: by us, and for the auth room.
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        None
    }

    /// A value with everything below it; what asks for a variable that is not
    /// set is left out.
    fn tree(&mut self, value: &Value, key: &str) -> serde_json::Value {
        match value {
            Value::Table(table) => {
                let mut out = serde_json::Map::new();
                for (name, value) in table {
                    let below = self.tree(value, &format!("{key}.{name}"));
                    out.insert(name.clone(), below);
                }
                serde_json::Value::Object(out)
            }
            Value::Array(items) => items.iter().map(|item| self.tree(item, key)).collect(),
            value => match self.substitute(value.clone(), key) {
                Some(Value::String(text)) => text.into(),
                Some(Value::Integer(number)) => number.into(),
                Some(Value::Float(number)) => number.into(),
                Some(Value::Boolean(flag)) => flag.into(),
                Some(other) => other.to_string().into(),
                None => serde_json::Value::Null,
            },
        }
    }

    fn wrong<T>(&self, key: &str, expected: &'static str) -> Result<T, ProjectError> {
        Err(ProjectError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected,
        })
    }

    fn text(&mut self, table: &Table, key: &str) -> Result<Option<String>, ProjectError> {
        match self.value(table, key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.wrong(key, "a text"),
        }
    }

    /// A number, also as text, because `env(NAME)` gives nothing else.
    fn number<N: TryFrom<i64>>(
        &mut self,
        table: &Table,
        key: &str,
    ) -> Result<Option<N>, ProjectError> {
        let number = match self.value(table, key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => Some(number),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match number.and_then(|number| N::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => self.wrong(key, "a number in its range"),
        }
    }

    fn flag(&mut self, table: &Table, key: &str) -> Result<Option<bool>, ProjectError> {
        match self.value(table, key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(Value::String(text)) if text == "true" || text == "false" => {
                Ok(Some(text == "true"))
            }
            Some(_) => self.wrong(key, "true or false"),
        }
    }

    fn list(&mut self, table: &Table, key: &str) -> Result<Option<Vec<String>>, ProjectError> {
        let items = match self.value(table, key) {
            None => return Ok(None),
            // One text with commas: what env(NAME) gives for a list.
            Some(Value::String(text)) => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                return Ok(Some(items.filter(|item| !item.is_empty()).collect()));
            }
            Some(Value::Array(items)) => items,
            Some(_) => return self.wrong(key, "a list of texts"),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match self.substitute(item, key) {
                Some(Value::String(text)) => texts.push(text),
                None => {}
                Some(_) => return self.wrong(key, "a list of texts"),
            }
        }
        Ok(Some(texts))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Result<(ProjectConfig, Vec<String>), ProjectError> {
        let env = |name: &str| (name == "PORT").then(|| "6000".to_owned());
        parse(Path::new("supabase/config.toml"), text, &env)
    }

    #[test]
    fn what_concerns_us_is_read_and_the_rest_passed_over() {
        let (config, warnings) = read(
            "project_id = 'p'\n[api]\nport = 'env(PORT)'\nschemas = ['public', 'app']\nmax_rows = 500\n\
             [db]\nmajor_version = 15\n[db.seed]\nenabled = false\nsql_paths = ['./a.sql']\n\
             [auth]\njwt_expiry = 60\nsite_url = 'env(NOPE)'\nnews = 1\n[functions.hello]\nverify_jwt = false",
        )
        .unwrap();
        assert_eq!(config.project_id.as_deref(), Some("p"));
        assert_eq!(config.api.port, Some(6000));
        assert_eq!(
            config.api.schemas,
            Some(vec!["public".to_owned(), "app".to_owned()])
        );
        assert_eq!(
            (config.api.max_rows, config.auth.jwt_expiry),
            (Some(500), Some(60))
        );
        assert_eq!(
            (config.db.seed_enabled, config.db.migrations_enabled),
            (Some(false), None)
        );
        assert_eq!(config.auth.site_url, None);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn unknown_keys_warn_and_wrong_ones_fail() {
        let (_, warnings) = read("[novel]\na = 1\n[api]\nprot = 1").unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings.iter().any(|w| w.contains("api.prot")));
        assert_eq!(read("[api]\nport = 70000").unwrap_err().code(), "FB2003");
        assert_eq!(read("[db.seed]\nenabled = 3").unwrap_err().code(), "FB2003");
        let error = read("a = 1\nb = = 2").unwrap_err();
        assert!(
            error.to_string().starts_with("supabase/config.toml:2: "),
            "{error}"
        );
    }
}
