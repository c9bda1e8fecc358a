//! A request as handlers see it: who asks, for which job, and what.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::Caller;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{JobsError, Result};
use crate::store::Sight;

/// A submission of the largest size with inputs of usual size, or a dozen
/// outputs of the largest.
const BODY_BYTES_MAX: usize = 16 << 20;
/// As the table has it.
const WORKER_CHARS_MAX: usize = 200;
/// Whoever has this role may do everything.
const SERVICE: &str = "service_role";
/// Whoever has this role is nobody.
const NOBODY: &str = "anon";

/// Who asks, as far as jobs are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// Whose jobs it may see and change.
    pub(crate) sight: Sight,
    /// Its own name; a server may have none.
    pub(crate) subject: Option<String>,
    /// Whether it may only look.
    read_only: bool,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
}

impl Who {
    fn of(parts: &Parts) -> Result<Self> {
        let refused = |status, message: &'static str| JobsError::new(status, "forbidden", message);
        let caller = Caller::of(parts)
            .filter(|caller| caller.authenticated && &*caller.role != NOBODY)
            .ok_or_else(|| {
                refused(
                    StatusCode::UNAUTHORIZED,
                    "Jobs need a user's token or a secret key",
                )
            })?;
        let claims = serde_json::from_str::<Claims>(&caller.claims);
        let subject = claims.ok().and_then(|claims| claims.sub);
        let subject = subject.filter(|subject| !subject.is_empty());
        let sight = match (&*caller.role, &subject) {
            (SERVICE, _) => Sight::All,
            (_, Some(subject)) => Sight::Of(subject.clone()),
            (_, None) => {
                let message = "The token names no subject, so nothing can be its own";
                return Err(refused(StatusCode::FORBIDDEN, message));
            }
        };
        Ok(Self {
            sight,
            subject,
            read_only: caller.read_only,
        })
    }

    /// Whether it may act for everybody.
    pub(crate) fn is_service(&self) -> bool {
        self.sight == Sight::All
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = JobsError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let who = Self::of(parts)?;
        let looks = matches!(parts.method, http::Method::GET | http::Method::HEAD);
        if who.read_only && !looks {
            return Err(JobsError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This key may only read",
            ));
        }
        Ok(who)
    }
}

/// What stands in the address: `{id}` and what else the route names.
pub(crate) struct Place {
    id: String,
    other: Option<String>,
}

impl Place {
    /// The job or approval; what is no uuid names none.
    pub(crate) fn id(&self) -> Result<Uuid> {
        Uuid::parse_str(&self.id).map_err(|_| JobsError::not_found())
    }

    /// The worker. Users' workers cannot have the names of others'.
    pub(crate) fn worker(&self, who: &Who) -> Result<String> {
        let name = match &who.sight {
            Sight::All => self.id.clone(),
            Sight::Of(owner) => format!("{owner}/{}", self.id),
        };
        if self.id.contains('\0') || name.chars().count() > WORKER_CHARS_MAX {
            return Err(JobsError::invalid("A worker's name is too long"));
        }
        Ok(name)
    }

    /// The signal's name or the step's key.
    pub(crate) fn other(&self) -> Result<&str> {
        let other = self.other.as_deref().filter(|name| !name.contains('\0'));
        other.ok_or_else(|| JobsError::invalid("The name has a null character"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = JobsError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| JobsError::invalid("The address is not UTF-8"))?;
        let mut place = Self {
            id: String::new(),
            other: None,
        };
        for (name, value) in &params {
            if name == "id" {
                value.clone_into(&mut place.id);
            } else {
                place.other = Some(value.to_owned());
            }
        }
        Ok(place)
    }
}

/// The body as JSON. An empty one is an empty object.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = JobsError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let bytes = body(request).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let read = serde_json::from_slice(text);
        read.map(Self)
            .map_err(|error| JobsError::invalid(format!("The body cannot be read: {error}")))
    }
}

async fn body(request: Request) -> Result<Bytes> {
    match Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await
    {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(JobsError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "over_limit",
            format!("A body takes at most {BODY_BYTES_MAX} bytes"),
        )),
        Err(_) => Err(JobsError::invalid("The body ended early")),
    }
}

/// A header as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An answer.
pub(crate) fn reply(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => document(status, text),
        Err(error) => {
            tracing::error!(%error, "An answer cannot be written");
            document(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned())
        }
    }
}

/// An answer that is JSON already.
pub(crate) fn document(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
