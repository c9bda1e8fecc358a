//! Asking a Ferrobase that runs, here or elsewhere, over HTTP with a key.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use kernel::{Secret, Tasks};
use outbound::{Budget, CallError, Client, Reach};
use serde_json::Value;

/// An answer that is asked for at once comes within this time, or the server
/// is in trouble that should be seen.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A tree of ten thousand jobs has about five megabytes.
const BODY_MAX: usize = 64 << 20;

/// A server and what opens it. It prints nothing: it holds a key.
pub struct Remote {
    client: Client,
    base: String,
    key: Secret,
    /// What the client's connections run in.
    _tasks: Tasks,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address cannot be one.
    #[error("`{0}` is not the address of a server")]
    Address(String),
    /// The key cannot be sent.
    #[error("the key has characters that no key has")]
    Key,
    /// No answer.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It answered with an error.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The word for machines.
        code: String,
        /// The words for people.
        message: String,
        /// What helps.
        hint: Option<String>,
    },
    /// It answered with something else than JSON.
    #[error("{0} answers, but not as Ferrobase does")]
    Stranger(String),
}

impl Remote {
    /// A server by its address and one of its keys.
    pub fn new(url: &str, key: Secret) -> Result<Self, RemoteError> {
        let tasks = Tasks::new();
        let address = || RemoteError::Address(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| address())?;
        if uri.scheme().is_none() || uri.host().is_none() || uri.query().is_some() {
            return Err(address());
        }
        let client = Client::new(Reach::Configured, &[], &tasks).map_err(|error| {
            RemoteError::Unreachable {
                url: url.to_owned(),
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            key,
            _tasks: tasks,
        })
    }

    /// Reads something of the data API, in a schema.
    pub async fn rows(&self, schema: &str, path: &str) -> Result<Vec<Value>, RemoteError> {
        let profile = [("accept-profile", schema)];
        match self
            .send(
                Method::GET,
                &format!("/rest/v1/{path}"),
                &profile,
                None,
                Duration::ZERO,
            )
            .await?
        {
            Value::Array(rows) => Ok(rows),
            _ => Err(RemoteError::Stranger(self.base.clone())),
        }
    }

    /// Reads something. `wait` is how long the server was asked to wait.
    pub async fn get(&self, path: &str, wait: Duration) -> Result<Value, RemoteError> {
        self.send(Method::GET, path, &[], None, wait).await
    }

    /// Changes something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        self.send(Method::POST, path, &[], Some(body), Duration::ZERO)
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
        wait: Duration,
    ) -> Result<Value, RemoteError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        let mut key = HeaderValue::try_from(self.key.expose()).map_err(|_| RemoteError::Key)?;
        key.set_sensitive(true);
        let bearer = format!("Bearer {}", self.key.expose());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| RemoteError::Key)?;
        bearer.set_sensitive(true);
        request = request.header("apikey", key).header(AUTHORIZATION, bearer);
        let content = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request
            .body(content)
            .map_err(|_| RemoteError::Address(url))?;
        let budget = Budget {
            time: ANSWER_MAX + wait,
            body: BODY_MAX,
        };
        let answer = self.client.call(request, budget).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let said: Option<Value> = if answer.body.is_empty() {
            Some(Value::Null)
        } else {
            serde_json::from_slice(&answer.body).ok()
        };
        if answer.status.is_success() {
            return said.ok_or_else(|| RemoteError::Stranger(self.base.clone()));
        }
        Err(refused(answer.status, &said.unwrap_or_default()))
    }

    fn unreachable(&self, error: &CallError) -> RemoteError {
        RemoteError::Unreachable {
            url: self.base.clone(),
            reason: error.to_string(),
        }
    }
}

/// The room's own words, as far as it has any.
fn refused(status: StatusCode, said: &Value) -> RemoteError {
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    RemoteError::Refused {
        status: status.as_u16(),
        code: text("code").unwrap_or_else(|| status.as_str().to_owned()),
        message: text("message").unwrap_or_else(|| format!("the server answered {status}")),
        hint: text("hint"),
    }
}
