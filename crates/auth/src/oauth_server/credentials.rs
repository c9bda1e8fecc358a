//! The token endpoint's form, and whether the client is who it says.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{hashed, oauth};
use crate::codes::equal;
use crate::error::{AuthError, Result, json_response};
use crate::model::{Client, ClientAuth};
use crate::request::Call;
use crate::room::Auth;

/// What was sent, by name, each once.
pub(crate) struct Form(Map<String, Value>);

impl Form {
    /// A form or, as GoTrue allows, a JSON object.
    pub(crate) fn of(call: &Call) -> Result<Self> {
        let kind = call.header("content-type").unwrap_or_default();
        if kind.contains("application/json") {
            let object = serde_json::from_slice(&call.body);
            return object
                .map(Self)
                .map_err(|_| oauth("invalid_request", "Invalid JSON body"));
        }
        let mut fields = Map::new();
        for (name, value) in url::form_urlencoded::parse(&call.body) {
            let before = fields.insert(name.clone().into_owned(), value.into_owned().into());
            if before.is_some() {
                let text = format!("{name} must not be sent more than once");
                return Err(oauth("invalid_request", text));
            }
        }
        Ok(Self(fields))
    }

    /// A text; missing is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A client that has shown who it is, or an answer that says it has not.
pub(crate) enum Shown {
    Client(Box<Client>),
    Refused(Response),
}

struct Credentials<'a> {
    id: String,
    secret: String,
    method: ClientAuth,
    form: &'a Form,
}

impl<'a> Credentials<'a> {
    fn of(call: &Call, form: &'a Form) -> Result<Self, &'static str> {
        let header = call.header("authorization").unwrap_or_default();
        let basic = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        if let Some((_, encoded)) = basic {
            let bytes = STANDARD.decode(encoded.trim()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or("invalid basic auth encoding")?;
            let (id, secret) = text.split_once(':').ok_or("invalid basic auth format")?;
            let (id, secret) = (id.to_owned(), secret.to_owned());
            return Ok(Self {
                id,
                secret,
                method: ClientAuth::Basic,
                form,
            });
        }
        let (id, secret) = (form.text("client_id"), form.text("client_secret"));
        if id.is_empty() {
            return Err("client_id is required");
        }
        let method = if secret.is_empty() {
            ClientAuth::None
        } else {
            ClientAuth::Post
        };
        Ok(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            method,
            form,
        })
    }

    /// Two ways at once are a mix-up (RFC 6749, 2.3).
    fn is_mixed(&self) -> bool {
        let said = self.form.text("client_id");
        self.method == ClientAuth::Basic
            && (!self.form.text("client_secret").is_empty()
                || (!said.is_empty() && said != self.id))
    }
}

impl Auth {
    /// The client behind a request. All refusals sound the same where they
    /// would tell which clients there are.
    pub(crate) async fn shown_client(&self, call: &Call, form: &Form) -> Result<Shown> {
        let credentials = match Credentials::of(call, form) {
            Ok(credentials) => credentials,
            Err(why) => return refused(call, why),
        };
        if credentials.is_mixed() {
            return Err(oauth(
                "invalid_request",
                "Only one way of client authentication may be used",
            ));
        }
        let client = match Uuid::parse_str(&credentials.id) {
            Ok(id) => self.store.oauth_client(id).await?,
            Err(_) => None,
        };
        let Some(client) = client else {
            return refused(call, "Invalid client credentials");
        };
        if client.auth_method() != credentials.method.as_str() {
            return refused(
                call,
                "Client authentication is not of the method the client registered for",
            );
        }
        let proved = match (client.is_confidential(), credentials.method) {
            (false, ClientAuth::None) => true,
            (true, ClientAuth::Basic | ClientAuth::Post) => {
                !client.client_secret_hash.is_empty()
                    && equal(&hashed(&credentials.secret), &client.client_secret_hash)
            }
            _ => false,
        };
        if proved {
            return Ok(Shown::Client(Box::new(client)));
        }
        refused(call, "Invalid client credentials")
    }
}

/// 401 with a challenge for those who used a header, as RFC 6749, 5.2, wants.
fn refused(call: &Call, why: &'static str) -> Result<Shown> {
    let error = oauth("invalid_client", why);
    let AuthError::OAuth { error: name, .. } = &error else {
        return Err(error);
    };
    if call.header("authorization").is_none() {
        return Err(error);
    }
    let body = json!({"error": name, "error_description": why});
    let mut response = json_response(StatusCode::UNAUTHORIZED, &body);
    response.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"oauth\""),
    );
    Ok(Shown::Refused(response))
}
