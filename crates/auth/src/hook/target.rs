//! Where a hook lives: reads `uri` and `secrets` of `[auth.hook.*]`.

use http::Uri;
use kernel::Secret;
use url::Url;

use super::Point;
use super::signature::HookSecret;

/// Postgres' names are at most this long.
const NAME_BYTES_MAX: usize = 63;

/// A hook as config.toml has it.
#[derive(Clone, Debug)]
pub struct Hook {
    /// `pg-functions://postgres/schema/function` or `https://…`
    pub uri: String,
    /// `v1,whsec_…`, several parted by `|` while one replaces another.
    pub secrets: Option<Secret>,
}

/// A hook cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auth.hook.{setting}: {problem}")]
pub struct HookConfigError {
    /// Which.
    pub setting: &'static str,
    /// What is wrong; never the secret.
    pub problem: &'static str,
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Function(Function),
    Http(Service),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) schema: String,
    pub(super) name: String,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) uri: Uri,
    pub(super) secrets: Vec<HookSecret>,
}

impl Hook {
    pub(super) fn target(&self, point: Point) -> Result<Target, HookConfigError> {
        self.read().map_err(|problem| HookConfigError {
            setting: point.setting(),
            problem,
        })
    }

    fn read(&self) -> Result<Target, &'static str> {
        let url = Url::parse(&self.uri).map_err(|_| "uri is not an address")?;
        match url.scheme() {
            "pg-functions" => function(&url).map(Target::Function),
            "https" => self.service(&url).map(Target::Http),
            // What goes over the network unencrypted must not leave this
            // machine: it carries claims and one-time codes.
            "http" => match url.host_str() {
                Some("localhost" | "127.0.0.1" | "[::1]" | "host.docker.internal") => {
                    self.service(&url).map(Target::Http)
                }
                _ => Err("only localhost can be reached by http, use https"),
            },
            _ => Err("uri must begin with pg-functions://, https:// or http://localhost"),
        }
    }

    fn service(&self, url: &Url) -> Result<Service, &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("uri must not hold a password, requests are signed instead");
        }
        let mut secrets = Vec::new();
        let text = self.secrets.as_ref().map_or("", Secret::expose);
        for secret in text.split('|').filter(|secret| !secret.is_empty()) {
            secrets.push(HookSecret::parse(secret).ok_or("secrets must be v1,whsec_<base64>")?);
        }
        if secrets.is_empty() {
            return Err("secrets is missing: v1,whsec_<base64>");
        }
        let mut url = url.clone();
        url.set_fragment(None);
        let uri = url.as_str().parse().map_err(|_| "uri is not an address")?;
        Ok(Service { uri, secrets })
    }
}

/// The host is not looked at, as in GoTrue: there is one database.
fn function(url: &Url) -> Result<Function, &'static str> {
    let mut parts = url.path().split('/').skip(1);
    let (Some(schema), Some(name)) = (parts.next(), parts.next()) else {
        return Err("uri must be pg-functions://postgres/schema/function");
    };
    if !is_name(schema) || !is_name(name) {
        return Err("schema and function may have letters, digits and underscores");
    }
    Ok(Function {
        schema: schema.to_owned(),
        name: name.to_owned(),
    })
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    begins && text.len() <= NAME_BYTES_MAX && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, secrets: Option<&str>) -> Result<Target, &'static str> {
        let secrets = secrets.map(Secret::new);
        let uri = uri.to_owned();
        Hook { uri, secrets }.read()
    }

    #[test]
    fn functions_and_services_are_told_apart() {
        let secret = Some("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let target = read("pg-functions://postgres/public/my_hook", None);
        assert!(
            matches!(target, Ok(Target::Function(f)) if f.schema == "public" && f.name == "my_hook")
        );
        for good in [
            "https://x.test/a?b=c",
            "http://localhost:54321/f",
            "http://[::1]/f",
        ] {
            assert!(matches!(read(good, secret), Ok(Target::Http(_))), "{good}");
        }
        for (bad, secret) in [
            ("", secret),
            ("ftp://x.test", secret),
            ("http://x.test/", secret),
            ("http://localhost.evil.test/", secret),
            ("https://user:pass@x.test/", secret),
            ("https://x.test/", None),
            ("https://x.test/", Some("whsec_short")),
            (
                "https://x.test/",
                Some("v1,whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"),
            ),
            ("pg-functions://postgres/public", None),
            ("pg-functions://postgres/public/f\"; drop table x; --", None),
            ("pg-functions://postgres/public/1f", None),
        ] {
            assert!(read(bad, secret).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_in_no_message() {
        let target = read(
            "https://x.test/",
            Some("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        );
        assert!(!format!("{target:?}").contains("MfKQ"));
    }
}
