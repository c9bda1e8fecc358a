//! The first stage: a request as it came in becomes a [`Call`], or is
//! rejected with an error of the `PGRST1xx` family.
//!
//! Pure: neither the catalog nor the database is asked, so names are only
//! names here. Start at [`Call::parse`], which reads a request in the order
//! upstream does, because of two mistakes the first one is reported.

pub mod ast;
mod form;
pub mod media;
mod parsec;
pub mod payload;
pub mod prefer;
mod query;
mod range;
mod show;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, header, request};
use percent_encoding::percent_decode_str;

use ast::{Query, RowRange};
use media::MediaType;
pub use parsec::ParseFailure;
use payload::{Payload, Target};
use prefer::{Preferences, TransactionChoice};
use query::Unparsed;

use crate::config::Config;
use crate::error::RestError;
use crate::json;

/// What the operator has decided and a request is read with.
#[derive(Clone, Debug, Default)]
pub struct CallConfig {
    /// The schemas that clients may name. The first is the default.
    pub schemas: Vec<String>,
    /// Those of the platform, which are neither default nor told of.
    pub platform_schemas: Vec<String>,
    /// Where the dialect is mounted, such as `/rest/v1`: taken off the path.
    pub base_path: String,
    /// Whether the root describes the API.
    pub root: Root,
    /// Who decides how a transaction ends.
    pub transaction_choice: TransactionChoice,
    /// Time zones that the database knows, for `Prefer: timezone=`.
    pub timezones: Arc<HashSet<String>>,
}

impl CallConfig {
    /// What the room's settings say about reading a request.
    #[must_use]
    pub fn of(config: &Config, timezones: Arc<HashSet<String>>) -> Self {
        Self {
            schemas: config.schemas.clone(),
            platform_schemas: config.platform_schemas.clone(),
            base_path: config.base_path.clone(),
            root: config.root.clone(),
            transaction_choice: config.transaction_choice,
            timezones,
        }
    }
}

/// What `/` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// The OpenAPI description.
    #[default]
    Description,
    /// The result of this function.
    Routine(String),
    /// Nothing: PGRST126.
    Disabled,
}

/// What the request wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET` or `HEAD` of a table or view.
    Read {
        /// Its name.
        relation: String,
    },
    /// A write to a table or view.
    Mutate {
        /// Its name.
        relation: String,
        /// How it is written.
        mutation: Mutation,
    },
    /// A function call.
    Invoke {
        /// Its name.
        routine: String,
        /// By which method.
        invocation: Invocation,
    },
    /// `OPTIONS` of a table or view.
    RelationInfo {
        /// Its name.
        relation: String,
    },
    /// `OPTIONS` of a function.
    RoutineInfo {
        /// Its name.
        routine: String,
    },
    /// `GET` or `HEAD` of the root: the OpenAPI description.
    RootRead,
    /// `OPTIONS` of the root.
    RootInfo,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// `POST`
    Insert,
    /// `PATCH`
    Update,
    /// `PUT`
    SingleUpsert,
    /// `DELETE`
    Delete,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// `GET` or `HEAD`: in a read-only transaction, arguments in the query.
    Read,
    /// `POST`: arguments in the body.
    Post,
}

/// A request that makes sense by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is wanted.
    pub action: Action,
    /// The schema that names are looked up in.
    pub schema: String,
    /// The schema again when `Content-Profile` has to tell it: the client
    /// named one, or there are several to choose from.
    pub negotiated_profile: Option<String>,
    /// The media types that would do, the most wanted first.
    pub accept: Vec<MediaType>,
    /// The media type of the body; `JSON` when not told.
    pub content_type: MediaType,
    /// How the client would like its answer.
    pub prefer: Preferences,
    /// The parsed query string.
    pub query: Query,
    /// The checked body, for methods that have one.
    pub payload: Option<Payload>,
    /// The keys of the body that count: of `columns=` or of the body itself.
    pub columns: BTreeSet<String>,
    /// The rows of the outermost relation: `limit`, `offset` and `Range`.
    pub range: RowRange,
    /// `HEAD`: everything but the body is wanted.
    pub headers_only: bool,
    /// The method.
    pub method: Method,
    /// The path as sent, for `request.path`.
    pub path: String,
}

impl Call {
    /// Reads a request.
    pub fn parse(
        parts: &request::Parts,
        body: Bytes,
        config: &CallConfig,
    ) -> Result<Self, RestError> {
        let (headers, method) = (&parts.headers, &parts.method);
        let path = parts.uri.path();
        let resource = resource(path, config)?;
        let (schema, negotiated_profile) = schema(method, headers, config)?;
        let action = action(resource, method)?;
        let unparsed = match action {
            Action::Invoke {
                invocation: Invocation::Read,
                ..
            } => Unparsed::Argument,
            _ => Unparsed::Mistake,
        };
        let parsed = query::parse(parts.uri.query().unwrap_or_default(), unparsed)?;
        let range = range::top_level(method, headers, parsed.span)?;
        let content_type = content_type(headers);
        let (payload, columns) = body_of(&action, body, &content_type, &parsed.query)?;
        Ok(Self {
            action,
            schema,
            negotiated_profile,
            accept: media::accepted(headers),
            content_type,
            prefer: Preferences::parse(headers, &config.timezones, config.transaction_choice),
            query: parsed.query,
            payload,
            columns,
            range,
            headers_only: *method == Method::HEAD,
            method: method.clone(),
            path: path.to_owned(),
        })
    }
}

enum Resource {
    Root,
    Relation(String),
    Routine(String),
}

fn resource(path: &str, config: &CallConfig) -> Result<Resource, RestError> {
    let path = path.strip_prefix(config.base_path.as_str()).unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut segments = path.split('/').map(decoded);
    match (segments.next(), segments.next(), segments.next()) {
        (Some(only), None, None) if only.is_empty() => match &config.root {
            Root::Description => Ok(Resource::Root),
            Root::Routine(name) => Ok(Resource::Routine(name.clone())),
            Root::Disabled => Err(RestError::OpenApiDisabled),
        },
        (Some(relation), None, None) => Ok(Resource::Relation(relation)),
        (Some(rpc), Some(routine), None) if rpc == "rpc" => Ok(Resource::Routine(routine)),
        _ => Err(RestError::InvalidPath),
    }
}

fn schema(
    method: &Method,
    headers: &HeaderMap,
    config: &CallConfig,
) -> Result<(String, Option<String>), RestError> {
    let header = match *method {
        Method::DELETE | Method::PATCH | Method::POST | Method::PUT => "content-profile",
        _ => "accept-profile",
    };
    let Some(profile) = headers.get(header) else {
        let default = config.schemas.first().cloned().unwrap_or_default();
        let several = config.schemas.len() != 1;
        return Ok((default.clone(), several.then_some(default)));
    };
    let profile = String::from_utf8_lossy(profile.as_bytes()).into_owned();
    if config.schemas.contains(&profile) || config.platform_schemas.contains(&profile) {
        Ok((profile.clone(), Some(profile)))
    } else {
        Err(RestError::UnacceptableSchema {
            schema: profile,
            exposed: config.schemas.clone(),
        })
    }
}

fn action(resource: Resource, method: &Method) -> Result<Action, RestError> {
    let mutate = |relation, mutation| Ok(Action::Mutate { relation, mutation });
    match (resource, method.as_str()) {
        (Resource::Routine(routine), "GET" | "HEAD") => Ok(Action::Invoke {
            routine,
            invocation: Invocation::Read,
        }),
        (Resource::Routine(routine), "POST") => Ok(Action::Invoke {
            routine,
            invocation: Invocation::Post,
        }),
        (Resource::Routine(routine), "OPTIONS") => Ok(Action::RoutineInfo { routine }),
        (Resource::Routine(_), other) => Err(RestError::InvalidRpcMethod(other.to_owned())),
        (Resource::Relation(relation), "GET" | "HEAD") => Ok(Action::Read { relation }),
        (Resource::Relation(relation), "POST") => mutate(relation, Mutation::Insert),
        (Resource::Relation(relation), "PUT") => mutate(relation, Mutation::SingleUpsert),
        (Resource::Relation(relation), "PATCH") => mutate(relation, Mutation::Update),
        (Resource::Relation(relation), "DELETE") => mutate(relation, Mutation::Delete),
        (Resource::Relation(relation), "OPTIONS") => Ok(Action::RelationInfo { relation }),
        (Resource::Root, "GET" | "HEAD") => Ok(Action::RootRead),
        (Resource::Root, "OPTIONS") => Ok(Action::RootInfo),
        (_, other) => Err(RestError::UnsupportedMethod(other.to_owned())),
    }
}

fn content_type(headers: &HeaderMap) -> MediaType {
    headers
        .get(header::CONTENT_TYPE)
        .map_or(MediaType::Json, |value| {
            MediaType::parse(&String::from_utf8_lossy(value.as_bytes()))
        })
}

type Body = (Option<Payload>, BTreeSet<String>);

fn body_of(
    action: &Action,
    body: Bytes,
    content_type: &MediaType,
    query: &Query,
) -> Result<Body, RestError> {
    let (target, columns) = match action {
        Action::Mutate { mutation, .. } => match mutation {
            Mutation::Delete => return Ok((None, BTreeSet::new())),
            Mutation::SingleUpsert => (Target::Relation, None),
            Mutation::Insert | Mutation::Update => (Target::Relation, query.columns.as_ref()),
        },
        Action::Invoke {
            invocation: Invocation::Post,
            ..
        } => (Target::Routine, query.columns.as_ref()),
        _ => return Ok((None, BTreeSet::new())),
    };
    let payload = payload::read(body, content_type, target, columns.is_some())?;
    let columns = match (&payload, columns) {
        (Payload::Json { keys, .. }, _) => keys.clone(),
        (Payload::Form(pairs), _) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        (Payload::RawJson(_), Some(columns)) => columns.iter().cloned().collect(),
        _ => BTreeSet::new(),
    };
    Ok((Some(payload), columns))
}

/// Names are lower case already; of a repeated header the last value stays.
/// Written by hand, since every request pays for it.
pub(crate) fn headers_json(headers: &HeaderMap) -> String {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 6)
        .sum();
    let mut out = Vec::with_capacity(bytes + 2);
    out.push(b'{');
    for name in headers.keys().filter(|name| *name != header::COOKIE) {
        let Some(value) = headers.get_all(name).iter().next_back() else {
            continue;
        };
        if out.len() > 1 {
            out.push(b',');
        }
        json::string(&mut out, name.as_str().as_bytes());
        out.push(b':');
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => json::string(&mut out, text.as_bytes()),
            Err(_) => json::string(
                &mut out,
                String::from_utf8_lossy(value.as_bytes()).as_bytes(),
            ),
        }
    }
    out.push(b'}');
    // Only UTF-8 was written.
    String::from_utf8(out).unwrap_or_default()
}

pub(crate) fn cookies_json(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(header::COOKIE) else {
        return "{}".to_owned();
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let map: serde_json::Map<String, serde_json::Value> = text
        .split(';')
        .map(|cookie| {
            let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
            (name.trim_start().to_owned(), value.into())
        })
        .collect();
    serde_json::Value::Object(map).to_string()
}

#[cfg(test)]
pub(crate) mod tests;
