//! `access explain` and `access report`: the questions of `rest::access`, put
//! to a project's database without a server in between. Nothing is changed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::{Body, to_bytes};
use http::{HeaderValue, Method, Request};
use kernel::Caller;
use pg::{Pool, PoolConfig, catalog};
use rest::Rest;
use serde_json::Value;

use super::Database;
use crate::app::StartError;
use crate::config::Config;
use crate::dev::connect;
use crate::wire::{load_options, rest_config};

pub use rest::access::report::{Callable, Deciding, Entry, Extent, Finding, FindingKind, Report};

/// Who asks: the role behind secret keys.
const SERVICE: &str = "service_role";
/// Where the data API is mounted; a path may begin with it.
const PREFIX: &str = "/rest/v1";
/// An explanation has a bounded number of rows, relations and policies.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request whose access is to be explained.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Whose: a role, a user's id, claims or a token.
    pub subject: String,
    /// `GET`
    pub method: String,
    /// `/notes?select=*`
    pub path: String,
    /// The JSON to be written.
    pub body: String,
    /// Preferences of the request, such as `return=representation`.
    pub prefer: Vec<String>,
    /// The schema, when it is not the default one.
    pub schema: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Told {
    /// The explanation.
    Explained(Value),
    /// The request could not be understood; the dialect's error.
    Refused(Value),
    /// It is not a request at all.
    Unreadable(String),
}

impl Database {
    /// Explains a request.
    pub async fn explain(&self, config: &Config, asked: &Asked) -> Result<Told, StartError> {
        let request = match request(asked) {
            Ok(request) => request,
            Err(why) => return Ok(Told::Unreadable(why)),
        };
        let failed = |source| StartError::Database {
            what: "read the database's catalog",
            source,
        };
        let mut session = connect(&self.targets.requests).await?;
        let catalog = catalog::load(&mut session, &load_options(config)).await;
        session.close().await;
        let catalog = Arc::new(ArcSwap::from_pointee(catalog.map_err(failed)?));
        let one = PoolConfig {
            connections_max: 1,
            ..PoolConfig::default()
        };
        let pool = Pool::new(&self.targets.requests, &one, &self.tasks);
        let room = Rest::new(rest_config(config), pool, catalog);
        let response = room.serve(request).await;
        let explained = response.status().is_success();
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let body = body
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(match body {
            Some(body) if explained => Told::Explained(body),
            Some(body) => Told::Refused(body),
            None => Told::Unreadable("there was no answer".to_owned()),
        })
    }

    /// What these roles may do in these schemas.
    pub async fn access(&self, schemas: &[String], roles: &[String]) -> Result<Report, StartError> {
        let mut session = connect(&self.targets.platform).await?;
        let report = rest::access::report::report(&mut session, schemas, roles).await;
        session.close().await;
        report.map_err(|source| StartError::Database {
            what: "read the database's catalog",
            source,
        })
    }
}

fn request(asked: &Asked) -> Result<Request<Body>, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let method = Method::from_bytes(asked.method.to_uppercase().as_bytes());
    let method = method.map_err(|error| said(&error))?;
    let path = asked.path.strip_prefix(PREFIX).unwrap_or(&asked.path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    // Claims may be spread over lines and have any letters.
    let subject = asked.subject.replace(['\r', '\n'], " ");
    let subject = HeaderValue::from_bytes(subject.as_bytes()).map_err(|error| said(&error))?;
    let mut prefer = vec!["explain=access".to_owned()];
    prefer.extend(asked.prefer.iter().cloned());
    let mut request = Request::builder()
        .uri(format!("{slash}{path}"))
        .method(&method)
        .header("prefer", prefer.join(", "))
        .header("explain-as", subject);
    if let Some(schema) = &asked.schema {
        let reads = matches!(method, Method::GET | Method::HEAD);
        let header = if reads {
            "accept-profile"
        } else {
            "content-profile"
        };
        request = request.header(header, schema);
    }
    let mut request = request
        .body(Body::from(asked.body.clone()))
        .map_err(|error| said(&error))?;
    request.extensions_mut().insert(Caller {
        role: SERVICE.into(),
        claims: r#"{"role":"service_role"}"#.into(),
        authenticated: true,
        read_only: false,
    });
    Ok(request)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_are_taken_as_people_write_them() {
        for path in ["notes?id=eq.1", "/notes?id=eq.1", "/rest/v1/notes?id=eq.1"] {
            let asked = Asked {
                subject: "{\n\"name\":\"Zoë\"}".to_owned(),
                method: "delete".to_owned(),
                path: path.to_owned(),
                prefer: vec!["return=minimal".to_owned()],
                schema: Some("shop".to_owned()),
                ..Asked::default()
            };
            let request = request(&asked).unwrap();
            assert_eq!(request.uri(), "/notes?id=eq.1");
            assert_eq!(request.method(), Method::DELETE);
            let header = |name| request.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(header("prefer"), "explain=access, return=minimal");
            assert_eq!(header("content-profile"), "shop");
        }
        let bad = Asked {
            method: "GET".to_owned(),
            path: "/a b".to_owned(),
            ..Asked::default()
        };
        assert!(request(&bad).is_err());
    }
}
