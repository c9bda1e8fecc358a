//! `/oauth/authorize`, what the application's consent page asks and says, and
//! what users granted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::codes::check_challenge;
use crate::error::{AuthError, Result, code, json_response};
use crate::model::{Client, SCOPES, scope_list};
use crate::oauth_server::{AUTHORIZATION_LIFETIME, Decision};
use crate::request::{Call, SignedIn, nullable};
use crate::room::Auth;
use crate::store::{Actor, NewAuthorization};

/// What is asked when nothing is. GoTrue's.
const SCOPE: &str = "email";
/// As the table has it.
const STATE_CHARS_MAX: usize = 4096;
const NONCE_CHARS_MAX: usize = 255;
const RESOURCE_CHARS_MAX: usize = 2048;

/// A refusal that the client hears: its word and a sentence.
type Refusal = (&'static str, String);

#[derive(Default)]
struct Asked {
    response_type: String,
    scope: String,
    state: String,
    resource: String,
    code_challenge: String,
    code_challenge_method: String,
    nonce: String,
}

pub(crate) async fn authorize(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.require_oauth_server()?;
    once_each(&call)?;
    let text = |name: &str| call.asked(name).unwrap_or_default();
    let (id, redirect_uri) = (text("client_id"), text("redirect_uri"));
    // Until client and address are known to belong together, nobody is sent
    // anywhere.
    let client = known_client(&auth, &id, &redirect_uri).await?;
    let mut asked = Asked {
        response_type: text("response_type"),
        scope: text("scope"),
        state: text("state"),
        resource: text("resource"),
        code_challenge: text("code_challenge"),
        code_challenge_method: text("code_challenge_method"),
        nonce: text("nonce"),
    };
    if asked.scope.trim().is_empty() {
        SCOPE.clone_into(&mut asked.scope);
    }
    if let Err((error, why)) = asked.check(&auth) {
        let state: &str = if asked.state.len() > STATE_CHARS_MAX {
            ""
        } else {
            &asked.state
        };
        let pairs = [("error", error), ("error_description", &why)];
        return Ok(found(&auth.client_address(&redirect_uri, state, &pairs)));
    }
    let scope = scope_list(&asked.scope).collect::<Vec<_>>().join(" ");
    let public_id = auth.unguessable().expose().to_owned();
    let tx = auth.store.begin().await?;
    tx.insert_authorization(&NewAuthorization {
        public_id: public_id.clone(),
        client: client.id,
        redirect_uri: &redirect_uri,
        scope: &scope,
        state: &asked.state,
        resource: &asked.resource,
        challenge: &asked.code_challenge,
        nonce: &asked.nonce,
        lifetime: AUTHORIZATION_LIFETIME,
    })
    .await?;
    tx.commit().await?;
    let page = auth.config.oauth_server.authorization_path.as_ref();
    let page = page.map_or_else(
        || auth.consent_page(),
        |path| {
            let site = auth.config.site_url.trim_end_matches('/');
            format!("{site}/{}", path.trim_start_matches('/'))
        },
    );
    Ok(found(&format!("{page}?authorization_id={public_id}")))
}

/// The client, if this is one of its addresses, byte for byte.
async fn known_client(auth: &Auth, id: &str, redirect_uri: &str) -> Result<Client> {
    if id.is_empty() {
        return Err(AuthError::invalid("client_id is required"));
    }
    if redirect_uri.is_empty() {
        return Err(AuthError::invalid("redirect_uri is required"));
    }
    let unknown = |text: &'static str| AuthError::bad_request(code::OAUTH_CLIENT_NOT_FOUND, text);
    let id = Uuid::parse_str(id).map_err(|_| unknown("invalid client_id format"))?;
    let client = auth.store.oauth_client(id).await?;
    let client = client.ok_or_else(|| unknown("invalid client_id"))?;
    if client.redirect_uris().any(|known| known == redirect_uri) {
        return Ok(client);
    }
    Err(AuthError::invalid("invalid redirect_uri"))
}

/// What is said twice is understood in two ways (RFC 6749, 3.1).
fn once_each(call: &Call) -> Result<()> {
    let query = call.parts.uri.query().unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if !seen.insert(name.clone()) {
            return Err(AuthError::invalid(format!(
                "{name} must not be given more than once"
            )));
        }
    }
    Ok(())
}

impl Asked {
    fn check(&self, auth: &Auth) -> Result<(), Refusal> {
        let invalid = |why: &str| Err(("invalid_request", why.to_owned()));
        if !matches!(self.response_type.as_str(), "" | "code") {
            let why = "only response_type=code is supported".to_owned();
            return Err(("unsupported_response_type", why));
        }
        for scope in scope_list(&self.scope) {
            if !SCOPES.contains(&scope) {
                return Err(("invalid_scope", format!("unsupported scope: {scope}")));
            }
            if scope == "openid" && !auth.parts.signer.is_asymmetric() {
                let why = "scope openid needs a signing key that clients can verify";
                return Err(("invalid_scope", why.to_owned()));
            }
        }
        if self.state.len() > STATE_CHARS_MAX {
            return invalid("state must not exceed 4096 characters");
        }
        if self.nonce.len() > NONCE_CHARS_MAX {
            return invalid("nonce must not exceed 255 characters");
        }
        check_resource(&self.resource)?;
        if self.code_challenge.is_empty() || self.code_challenge_method.is_empty() {
            return invalid("PKCE flow requires both code_challenge and code_challenge_method");
        }
        // `plain` sends the secret itself; without a method it is the default.
        if !self.code_challenge_method.eq_ignore_ascii_case("s256") {
            return invalid("code_challenge_method must be 'S256'");
        }
        check_challenge(&self.code_challenge, "s256")
            .map_err(|error| ("invalid_request", error.message().into_owned()))
    }
}

/// RFC 8707, 2.
fn check_resource(resource: &str) -> Result<(), Refusal> {
    let wrong = |why: &str| Err(("invalid_target", why.to_owned()));
    if resource.is_empty() {
        return Ok(());
    }
    if resource.len() > RESOURCE_CHARS_MAX {
        return wrong("resource must not exceed 2048 characters");
    }
    match Url::parse(resource) {
        Err(_) => wrong("resource must be an absolute URI"),
        Ok(url) if url.fragment().is_some() => {
            wrong("resource must not include a fragment component")
        }
        Ok(url) if url.query().is_some() => wrong("resource must not include a query component"),
        Ok(_) => Ok(()),
    }
}

/// A browser goes on; nobody keeps where to.
fn found(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::try_from(to) {
        headers.insert(LOCATION, to);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Browsers say which page asks. Only the application's may.
fn check_origin(auth: &Auth, call: &Call) -> Result<()> {
    match call.header("origin") {
        None | Some("") => Ok(()),
        Some(origin) if auth.config.redirects.allows(origin) => Ok(()),
        Some(_) => Err(AuthError::invalid("unauthorized request origin")),
    }
}

fn sent(to: &str) -> Response {
    let mut response = json_response(StatusCode::OK, &json!({"redirect_url": to}));
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

pub(crate) async fn details(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    auth.require_oauth_server()?;
    check_origin(&auth, &call)?;
    let tx = auth.store.begin().await?;
    let decision = auth.claim_authorization(&tx, &id, who.user.id).await?;
    tx.commit().await?;
    let (asked, client) = match decision {
        Decision::Sent(to) => return Ok(sent(&to)),
        Decision::Ask(asked, client) => (asked, client),
    };
    let body = json!({
        "authorization_id": asked.authorization_id,
        "redirect_uri": asked.redirect_uri,
        "client": client.shown(),
        "user": {"id": who.user.id.to_string(), "email": who.user.email},
        "scope": asked.scope,
    });
    Ok(json_response(StatusCode::OK, &body))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "nullable")]
    action: String,
}

pub(crate) async fn consent(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    auth.require_oauth_server()?;
    check_origin(&auth, &call)?;
    let answer: Answer = call.json()?;
    let approved = match answer.action.as_str() {
        "approve" => true,
        "deny" => false,
        _ => return Err(AuthError::invalid("action must be 'approve' or 'deny'")),
    };
    let tx = auth.store.begin().await?;
    let asked = auth.open_authorization(&tx, &id).await?;
    // Only who has been shown the request can answer it.
    if asked.user_id != Some(who.user.id) {
        return Err(crate::oauth_server::no_such_authorization());
    }
    let to = auth.decide(&tx, &asked, who.user.id, approved).await?;
    tx.commit().await?;
    Ok(sent(&to))
}

pub(crate) async fn grants(State(auth): State<Arc<Auth>>, who: SignedIn) -> Result<Response> {
    auth.require_oauth_server()?;
    let grants = auth.store.oauth_grants(who.user.id).await?;
    let body: Value = grants.iter().map(crate::model::Grant::document).collect();
    Ok(json_response(StatusCode::OK, &body))
}

pub(crate) async fn revoke(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    auth.require_oauth_server()?;
    let id = call
        .asked("client_id")
        .ok_or_else(|| AuthError::invalid("client_id query parameter is required"))?;
    let id = Uuid::parse_str(&id).map_err(|_| AuthError::invalid("invalid client_id format"))?;
    let tx = auth.store.begin().await?;
    if !tx.revoke_grant(who.user.id, id).await? {
        return Err(AuthError::not_found(
            code::OAUTH_CONSENT_NOT_FOUND,
            "No active grant found for this client",
        ));
    }
    let traits = json!({"oauth_client_id": id.to_string(), "action": "revoke_oauth_grant"});
    tx.audit(&Actor::user(&who.user), "token_revoked", Some(traits), "")
        .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
