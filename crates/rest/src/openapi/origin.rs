//! Where the API is reached from outside.

use http::Uri;

use crate::config::Config;

/// Where a client would send requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: &'static str,
    /// With the port.
    pub(super) host: String,
    pub(super) base_path: String,
}

impl Origin {
    /// `openapi-server-proxy-uri`, or what a server says that knows of none.
    pub(super) fn of(config: &Config) -> Self {
        let proxy = config.openapi_proxy.as_deref().and_then(Self::parse);
        proxy.unwrap_or_else(|| Self {
            scheme: "http",
            host: "0.0.0.0:3000".to_owned(),
            base_path: match config.base_path.as_str() {
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
        })
    }

    /// `None` unless it is an absolute address without a user and a query.
    fn parse(uri: &str) -> Option<Self> {
        let uri: Uri = uri.parse().ok()?;
        let (scheme, usual_port) = match uri.scheme_str()? {
            scheme if scheme.eq_ignore_ascii_case("http") => ("http", 80),
            scheme if scheme.eq_ignore_ascii_case("https") => ("https", 443),
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return None;
        }
        let port = authority.port_u16().unwrap_or(usual_port);
        Some(Self {
            scheme,
            host: format!("{}:{port}", authority.host()),
            base_path: uri.path().to_owned(),
        })
    }
}
