//! `POST /tx`: several requests of the dialect in one transaction, all or
//! nothing, as one caller.
//!
//! Each passes the same stages as alone; only its statement runs in a
//! transaction that goes on. In between, settings are reset, so that what one
//! request's function has set is not there for the next. Start at [`answer`];
//! [`request`] reads what the client sent, [`mod@reference`] fills in values of
//! earlier answers, [`answers`] holds those. Why it is so is in ADR 9.

mod answers;
mod reference;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use kernel::Caller;
use pg::catalog::{Catalog, QualifiedName};
use pg::{Isolation, OpenTx, Opening, Pool};

use crate::access;
use crate::call::media::MediaType;
use crate::call::prefer::Preferences;
use crate::call::{Call, CallConfig};
use crate::config::Config;
use crate::error::{InTransaction, RestError, TxFault};
use crate::execute::{self, Context, refused};
use crate::idempotency::{self, Begun, Key, Seal};
use crate::plan::{self, Plan};
use crate::room::carry_out_in;
use answers::Answers;
use request::Request;

/// Where transactions are posted to.
const PATH: &str = "/tx";

/// Says that a body is a transaction even where a table is called `tx`.
const MEDIA_TYPE: &str = "application/vnd.ferrobase.tx+json";

const PROFILE: &str = "content-profile";

/// What a transaction is answered with.
pub(crate) struct Scene<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) config: &'a Config,
    pub(crate) call: &'a CallConfig,
    pub(crate) caller: &'a Caller,
    /// Of the request that carries the others.
    pub(crate) parts: &'a Parts,
    pub(crate) seal: Option<&'a Seal>,
}

/// Whether a request is a transaction: posted to `/tx`, unless the schema has
/// a relation of that name, which then is what is meant; the media type
/// decides for the transaction even so.
pub(crate) fn is_wanted(parts: &Parts, config: &CallConfig, catalog: &Catalog) -> bool {
    let path = parts.uri.path();
    // Two comparisons for every other request.
    if !path.ends_with(PATH) || parts.method != Method::POST {
        return false;
    }
    if path.strip_prefix(config.base_path.as_str()).unwrap_or(path) != PATH {
        return false;
    }
    let media = parts.headers.get(header::CONTENT_TYPE);
    let media = media.and_then(|value| value.to_str().ok());
    let (name, _) = media.map_or(("", ""), |text| text.split_once(';').unwrap_or((text, "")));
    if name.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
        return true;
    }
    if media.is_some_and(|text| MediaType::parse(text) != MediaType::Json) {
        return false;
    }
    let profile = parts.headers.get(PROFILE);
    let profile = profile.and_then(|value| value.to_str().ok());
    let schema = profile.or_else(|| config.schemas.first().map(String::as_str));
    let table = QualifiedName::new(schema.unwrap_or_default(), "tx");
    catalog.table(&table).is_none()
}

/// One transaction, from its body to its answer.
pub(crate) async fn answer(
    scene: &Scene<'_>,
    body: &Bytes,
    key: Option<&Key>,
) -> Result<Response, RestError> {
    let limits = scene.config.tx;
    if body.len() > limits.body_bytes_max {
        let max = limits.body_bytes_max;
        return Err(RestError::Tx(TxFault::BodyTooLarge { max }));
    }
    let requests = request::read(body, limits.requests_max)?;
    let prefer = Preferred::read(scene)?;
    let (mut open, response) = {
        let work = work(scene, &requests, &prefer, key);
        match tokio::time::timeout(limits.time_max, Box::pin(work)).await {
            Ok(Ok(Worked::Done(open, response))) => (open, response),
            Ok(Ok(Worked::Answered(response))) => return Ok(response),
            Ok(Err(error)) => return Err(error),
            // What was open is rolled back by being dropped.
            Err(_) => {
                let max = limits.time_max;
                return Err(RestError::Tx(TxFault::TooSlow { max }));
            }
        }
    };
    // Not within the time: nobody could say what became of a COMMIT.
    let together = |error| {
        RestError::InTransaction(Box::new(InTransaction {
            index: None,
            id: None,
            error,
        }))
    };
    let response = match key {
        Some(key) => idempotency::keep(&mut open, scene.caller, key, scene.seal, response)
            .await
            .map_err(together)?,
        None => response,
    };
    let finished = open.finish().await;
    finished.map_err(|error| together(refused(error, scene.caller)))?;
    Ok(response)
}

enum Worked {
    /// To be committed.
    Done(OpenTx, Response),
    /// It had been done before.
    Answered(Response),
}

async fn work(
    scene: &Scene<'_>,
    requests: &[Request<'_>],
    prefer: &Preferred,
    key: Option<&Key>,
) -> Result<Worked, RestError> {
    let mut open = match begin(scene, prefer, key).await? {
        Begun::Open(open) => open,
        Begun::Answered(response) => return Ok(Worked::Answered(response)),
    };
    let mut answers = Answers::new(scene.config.tx.answer_bytes_max);
    for (index, request) in requests.iter().enumerate() {
        if let Err(error) = one(scene, &mut open, request, &mut answers).await {
            // When even that fails, the connection is gone and the
            // transaction with it.
            let _ = open.rollback().await;
            return Err(RestError::InTransaction(Box::new(InTransaction {
                index: Some(index),
                id: request.id.clone(),
                error,
            })));
        }
    }
    let mut response = Response::new(Body::from(answers.into_array()));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(applied) = prefer.applied() {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(Worked::Done(open, response))
}

async fn begin(
    scene: &Scene<'_>,
    prefer: &Preferred,
    key: Option<&Key>,
) -> Result<Begun, RestError> {
    let of_role = || execute::isolation(scene.catalog, &scene.caller.role, None);
    let opening = Opening {
        isolation: prefer.isolation.or_else(of_role),
        rollback: execute::rolls_back(scene.config, &prefer.dialect),
        keeps_settings: !scene.catalog.session_settings_used,
    };
    if let Some(key) = key {
        return idempotency::begin(scene.pool, scene.caller, opening, key, scene.seal).await;
    }
    let begun = OpenTx::begin(scene.pool, opening, Vec::new()).await;
    let (open, _) = begun.map_err(|error| refused(error, scene.caller))?;
    Ok(Begun::Open(open))
}

/// One request of the transaction.
async fn one(
    scene: &Scene<'_>,
    open: &mut OpenTx,
    request: &Request<'_>,
    answers: &mut Answers,
) -> Result<(), RestError> {
    let max = scene.config.tx.body_bytes_max;
    let filled = reference::fill(request, answers, max)?;
    let parts = request.parts(filled.address.as_str(), &scene.parts.headers)?;
    access::refuse_in_transaction(&parts.headers)?;
    let mut call = Call::parse(&parts, filled.body.clone(), scene.call)?;
    filled.into_query(&mut call.query)?;
    // The transaction as a whole ends in one way.
    call.prefer.transaction = None;
    let plan = plan::plan(scene.catalog, scene.config, &call)?;
    if matches!(plan, Plan::Root | Plan::Info { .. }) {
        return Err(RestError::UnsupportedMethod(format!(
            "{} of the root",
            call.method
        )));
    }
    let context = Context {
        pool: scene.pool,
        catalog: scene.catalog,
        config: scene.config,
        caller: scene.caller,
        call: &call,
        headers: &parts.headers,
        search_path: &execute::search_path(&call.schema, &scene.config.extra_search_path),
    };
    let response = carry_out_in(open, &context, &plan).await?;
    answers.add(request.id.as_deref(), response).await
}

/// What the transaction as a whole prefers.
struct Preferred {
    dialect: Preferences,
    isolation: Option<Isolation>,
}

/// Ours: the dialect leaves the level to the role's settings.
const ISOLATION: [(&str, Isolation); 2] = [
    ("isolation=repeatable-read", Isolation::RepeatableRead),
    ("isolation=serializable", Isolation::Serializable),
];

impl Preferred {
    fn read(scene: &Scene<'_>) -> Result<Self, RestError> {
        let headers: &HeaderMap = &scene.parts.headers;
        let (zones, choice) = (&scene.call.timezones, scene.call.transaction_choice);
        let mut dialect = Preferences::parse(headers, zones, choice);
        let level = |wish: &String| ISOLATION.iter().find(|(name, _)| name == wish);
        let isolation = dialect
            .invalid
            .iter()
            .find_map(level)
            .map(|(_, level)| *level);
        dialect.invalid.retain(|wish| level(wish).is_none());
        dialect.check()?;
        Ok(Self { dialect, isolation })
    }

    fn applied(&self) -> Option<HeaderValue> {
        let honoured = Preferences {
            transaction: self.dialect.transaction,
            handling: self.dialect.handling,
            ..Preferences::default()
        };
        let level = self.isolation.and_then(|level| {
            let named = ISOLATION.iter().find(|(_, other)| *other == level);
            named.map(|(name, _)| (*name).to_owned())
        });
        let all: Vec<String> = honoured.applied().into_iter().chain(level).collect();
        let text = (!all.is_empty()).then(|| all.join(", "))?;
        HeaderValue::try_from(text).ok()
    }
}
