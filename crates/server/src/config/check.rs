//! Merged texts become the typed [`Config`]. Every refusal names the setting,
//! who said it and what was expected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose;
use kernel::Secret;

use super::sources::{Merged, Origin, Setting, Value};
use super::{
    ApiConfig, AppsConfig, AuthConfig, Config, ConfigError, DbConfig, InboxConfig, JobsConfig,
    JwtSecret, LogConfig, LogFormat, LogRequests, LovableConfig, Mode, OpenApiMode,
    OpenLovableConfig, RateConfig, RestConfig, TxEnd, sandbox, storage,
};
use super::{ai, backup};
use crate::gateway::RolePath;

/// hyper needs this much to read any head at all.
const HEADER_BYTES_MIN: usize = 8 * 1024;
/// Above this one client could pin too much memory per connection.
const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// A shorter HMAC secret can be guessed; PostgREST draws the same line.
const SECRET_BYTES_MIN: usize = 32;

pub(super) fn check(mode: Mode, merged: &Merged) -> Result<Config, ConfigError> {
    Ok(Config {
        mode,
        api: api(merged)?,
        rate_limit: RateConfig {
            per_ip: merged.number("rate_limit.per_ip")?,
            per_key: merged.number("rate_limit.per_key")?,
            burst: merged.number("rate_limit.burst")?,
        },
        log: log(merged)?,
        db: db(merged)?,
        rest: rest(merged)?,
        auth: auth(merged)?,
        inbox: InboxConfig {
            enabled: merged.flag("inbox.enabled")?,
            port: merged.number("inbox.port")?,
        },
        jobs: JobsConfig {
            enabled: merged.flag("jobs.enabled")?,
            expose: merged.flag("jobs.expose")?,
            lease: merged.span("jobs.lease")?,
            keep: merged.span("jobs.keep")?,
            keep_sessions: merged.span("jobs.keep_sessions")?,
        },
        backup: backup::check(mode, merged)?,
        storage: storage::check(merged)?,
        ai: ai::check(mode, merged)?,
        sandbox: sandbox::check(merged)?,
        apps: apps(merged)?,
        app_settings: merged.app_settings.clone(),
    })
}

fn apps(merged: &Merged) -> Result<AppsConfig, ConfigError> {
    let mut apps = AppsConfig::default();
    for name in merged.list("apps.enabled") {
        match name.as_str() {
            "open_lovable" => {
                let open = merged.flag("apps.open_lovable.open")?;
                apps.open_lovable = Some(OpenLovableConfig { open });
            }
            "drama" => apps.drama = true,
            "lovable" => {
                apps.lovable = Some(LovableConfig {
                    open: merged.flag("apps.lovable.open")?,
                    at_once: at_once(merged)?,
                });
            }
            "omvee" => apps.omvee = true,
            _ => {
                let known = "expected names of: drama, lovable, omvee, open_lovable";
                return Err(merged.invalid("apps.enabled", known));
            }
        }
    }
    Ok(apps)
}

/// At least one, and no more than a machine has use for.
fn at_once(merged: &Merged) -> Result<usize, ConfigError> {
    const MOST: usize = 256;
    let path = "apps.lovable.at_once";
    match merged.number(path)? {
        n @ 1..=MOST => Ok(n),
        _ => Err(merged.invalid(path, "expected 1 to 256")),
    }
}

fn api(merged: &Merged) -> Result<ApiConfig, ConfigError> {
    let header_bytes_max = merged.size("api.header_bytes_max")?;
    let header_bytes_max = usize::try_from(header_bytes_max)
        .ok()
        .filter(|bytes| (HEADER_BYTES_MIN..=HEADER_BYTES_MAX).contains(bytes))
        .ok_or_else(|| merged.invalid("api.header_bytes_max", "expected 8KiB to 1MiB"))?;
    let connections_max: usize = merged.number("api.connections_max")?;
    if connections_max == 0 {
        return Err(merged.invalid("api.connections_max", "expected at least 1"));
    }
    Ok(ApiConfig {
        hosts: hosts(merged.text("api.host")).ok_or_else(|| {
            merged.invalid("api.host", "expected `localhost`, an IP address or `*`")
        })?,
        port: merged.number("api.port")?,
        require_apikey: merged.flag("api.require_apikey")?,
        cors_origins: merged.list("api.cors_origins"),
        connections_max,
        header_bytes_max,
        header_timeout: merged.span("api.header_timeout")?,
        body_bytes_max: merged.size("api.body_bytes_max")?,
        request_timeout: merged.span("api.request_timeout")?,
        drain_timeout: merged.span("api.drain_timeout")?,
        trust_proxy: merged.flag("api.trust_proxy")?,
        metrics: merged.flag("api.metrics")?,
        server_timing: merged.flag("api.server_timing")?,
        trace_header: match merged.text("api.trace_header") {
            "" => None,
            name => Some(name.parse().map_err(|_| {
                merged.invalid("api.trace_header", "expected the name of a header")
            })?),
        },
    })
}

/// The listen addresses behind a name. `!4`, `*4` and their kind are the ways
/// in which PostgREST's environment says "every interface".
fn hosts(text: &str) -> Option<Vec<IpAddr>> {
    let every4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let every6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    Some(match text {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        "*" => vec![every4, every6],
        "!4" | "*4" => vec![every4],
        "!6" | "*6" => vec![every6],
        text => vec![text.trim_matches(['[', ']']).parse().ok()?],
    })
}

fn log(merged: &Merged) -> Result<LogConfig, ConfigError> {
    Ok(LogConfig {
        level: match merged.text("log.level") {
            "crit" | "error" => tracing::Level::ERROR,
            "warn" => tracing::Level::WARN,
            "info" => tracing::Level::INFO,
            "debug" => tracing::Level::DEBUG,
            "trace" => tracing::Level::TRACE,
            _ => {
                return Err(
                    merged.invalid("log.level", "expected error, warn, info, debug or trace")
                );
            }
        },
        format: match merged.text("log.format") {
            "auto" => LogFormat::Auto,
            "pretty" => LogFormat::Pretty,
            "json" => LogFormat::Json,
            _ => return Err(merged.invalid("log.format", "expected auto, pretty or json")),
        },
        requests: match merged.text("log.requests") {
            "all" => LogRequests::All,
            "errors" => LogRequests::Errors,
            "none" => LogRequests::None,
            _ => return Err(merged.invalid("log.requests", "expected all, errors or none")),
        },
    })
}

fn db(merged: &Merged) -> Result<DbConfig, ConfigError> {
    let schemas = merged.list("db.schemas");
    if schemas.is_empty() {
        return Err(merged.invalid("db.schemas", "expected at least one schema"));
    }
    let pool_size: usize = merged.number("db.pool_size")?;
    let max_rows: u64 = match merged.text("db.max_rows") {
        "" => 0,
        _ => merged.number("db.max_rows")?,
    };
    Ok(DbConfig {
        url: merged.secret("db.url"),
        port: merged.number("db.port")?,
        data_dir: merged.text("db.data_dir").into(),
        migrate: merged.flag("db.migrate")?,
        pool_size: (pool_size > 0).then_some(pool_size),
        schemas,
        anon_role: merged.optional("db.anon_role"),
        extra_search_path: merged.list("db.extra_search_path"),
        max_rows: (max_rows > 0).then_some(max_rows),
        pre_request: merged.optional("db.pre_request"),
        root_spec: merged.optional("db.root_spec"),
        tx_end: match merged.text("db.tx_end") {
            "commit" => TxEnd::Commit,
            "commit-allow-override" => TxEnd::CommitAllowOverride,
            "rollback" => TxEnd::Rollback,
            "rollback-allow-override" => TxEnd::RollbackAllowOverride,
            _ => {
                return Err(merged.invalid(
                    "db.tx_end",
                    "expected commit or rollback, or either with -allow-override",
                ));
            }
        },
        aggregates_enabled: merged.flag("db.aggregates_enabled")?,
        plan_enabled: merged.flag("db.plan_enabled")?,
        in_database_config: merged.flag("db.config")?,
        pre_config: merged.optional("db.pre_config"),
        channel: merged
            .optional("db.channel")
            .filter(|_| merged.text("db.channel_enabled") != "false"),
        prepared_statements: merged.flag("db.prepared_statements")?,
    })
}

fn rest(merged: &Merged) -> Result<RestConfig, ConfigError> {
    Ok(RestConfig {
        verbose_errors: match merged.text("rest.error_verbosity") {
            "verbose" => true,
            "minimal" => false,
            _ => return Err(merged.invalid("rest.error_verbosity", "expected verbose or minimal")),
        },
        legacy_target_names: merged.flag("rest.legacy_target_names")?,
        at_root: merged.flag("rest.at_root")?,
        openapi: match merged.text("openapi.mode") {
            "follow-privileges" => OpenApiMode::FollowPrivileges,
            "ignore-privileges" => OpenApiMode::IgnorePrivileges,
            "disabled" => OpenApiMode::Disabled,
            _ => {
                return Err(merged.invalid(
                    "openapi.mode",
                    "expected follow-privileges, ignore-privileges or disabled",
                ));
            }
        },
        openapi_server_proxy_uri: merged.optional("openapi.server_proxy_uri"),
        openapi_security_active: merged.flag("openapi.security_active")?,
    })
}

fn auth(merged: &Merged) -> Result<AuthConfig, ConfigError> {
    let path = merged.text("auth.jwt_role_claim_key");
    Ok(AuthConfig {
        jwt: jwt_secret(merged)?,
        jwt_aud: merged.optional("auth.jwt_aud"),
        jwt_issuers: merged.list("auth.jwt_issuers"),
        role_claim_key: RolePath::parse(path).ok_or_else(|| {
            merged.invalid(
                "auth.jwt_role_claim_key",
                "expected a path such as `.role` or `.a[0].\"b-c\"`",
            )
        })?,
        jwt_cache_entries: merged.number("auth.jwt_cache_max_entries")?,
        anon_key: merged.secret("auth.anon_key"),
        service_role_key: merged.secret("auth.service_role_key"),
        publishable_key: merged.secret("auth.publishable_key"),
        secret_key: merged.secret("auth.secret_key"),
        source: std::sync::Arc::clone(&merged.auth),
    })
}

fn jwt_secret(merged: &Merged) -> Result<JwtSecret, ConfigError> {
    const PATH: &str = "auth.jwt_secret";
    let said = merged
        .settings
        .get(PATH)
        .is_some_and(|setting| setting.origin != Origin::Default);
    let text = merged.text(PATH);
    if text.is_empty() {
        return Ok(if said {
            JwtSecret::Nothing
        } else {
            JwtSecret::Project
        });
    }
    if merged.flag("auth.jwt_secret_is_base64")? {
        // Both alphabets are seen in the wild, with padding and without.
        let plain: String = text
            .trim()
            .trim_end_matches('=')
            .replace('-', "+")
            .replace('_', "/");
        let bytes = general_purpose::STANDARD_NO_PAD
            .decode(plain)
            .map_err(|_| {
                merged.invalid(PATH, "expected base64, as auth.jwt_secret_is_base64 says")
            })?;
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(merged.invalid(PATH, "expected at least 32 bytes"));
        }
        return Ok(JwtSecret::Bytes(bytes));
    }
    if text.len() < SECRET_BYTES_MIN {
        return Err(merged.invalid(PATH, "expected at least 32 characters"));
    }
    Ok(JwtSecret::Text(Secret::new(text)))
}

impl Merged {
    pub(super) fn text(&self, path: &str) -> &str {
        match self.settings.get(path) {
            Some(Setting {
                value: Value::Text(text),
                ..
            }) => text.trim(),
            _ => "",
        }
    }

    pub(super) fn optional(&self, path: &str) -> Option<String> {
        Some(self.text(path))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    pub(super) fn secret(&self, path: &str) -> Option<Secret> {
        self.optional(path).map(Secret::new)
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        match self.settings.get(path) {
            Some(Setting {
                value: Value::List(items),
                ..
            }) => items.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn number<N: FromStr>(&self, path: &str) -> Result<N, ConfigError> {
        self.text(path)
            .parse()
            .map_err(|_| self.invalid(path, "expected a whole number in range"))
    }

    pub(super) fn flag(&self, path: &str) -> Result<bool, ConfigError> {
        match self.text(path).to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(self.invalid(path, "expected true or false")),
        }
    }

    pub(super) fn size(&self, path: &str) -> Result<u64, ConfigError> {
        let (number, unit) = number_and_unit(self.text(path));
        let factor = match unit {
            "" | "B" => 1,
            "KiB" | "kB" | "KB" => 1024,
            "MiB" | "MB" => 1024 * 1024,
            "GiB" | "GB" => 1024 * 1024 * 1024,
            _ => 0,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| self.invalid(path, "expected a size such as 65536, 64KiB or 10MiB"))
    }

    pub(super) fn span(&self, path: &str) -> Result<Duration, ConfigError> {
        let (number, unit) = number_and_unit(self.text(path));
        let millis = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(millis))
            .filter(|millis| *millis > 0)
            .map(Duration::from_millis)
            .ok_or_else(|| self.invalid(path, "expected a time such as 500ms, 30s or 5m"))
    }

    pub(super) fn invalid(&self, path: &str, reason: &str) -> ConfigError {
        ConfigError::Invalid {
            path: path.to_owned(),
            origin: self
                .settings
                .get(path)
                .map(|setting| setting.origin.clone()),
            reason: reason.to_owned(),
        }
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim())
}
