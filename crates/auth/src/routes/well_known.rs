//! What anybody may ask: health, settings, keys, discovery.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::{Value, json};

use crate::error::{AuthError, Result, code, json_response};
use crate::room::Auth;

/// Keys change rarely, and verifiers look again when they meet a new one.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=600");

pub(crate) async fn health() -> Response {
    let body = json!({
        "version": concat!("ferrobase-", env!("CARGO_PKG_VERSION")),
        "name": "GoTrue",
        "description": "GoTrue is a user registration and authentication API",
    });
    json_response(StatusCode::OK, &body)
}

pub(crate) async fn settings(State(auth): State<Arc<Auth>>) -> Response {
    const SHOWN: [&str; 22] = [
        "apple",
        "azure",
        "bitbucket",
        "discord",
        "facebook",
        "snapchat",
        "figma",
        "fly",
        "github",
        "gitlab",
        "google",
        "keycloak",
        "kakao",
        "linkedin",
        "linkedin_oidc",
        "notion",
        "spotify",
        "slack",
        "slack_oidc",
        "workos",
        "twitch",
        "twitter",
    ];
    let config = &auth.config;
    let enabled = |name: &str| {
        config
            .external
            .get(name)
            .is_some_and(|provider| provider.enabled)
    };
    let mut external = serde_json::Map::new();
    external.insert(
        "anonymous_users".to_owned(),
        json!(config.anonymous_enabled),
    );
    for name in SHOWN.into_iter().chain(["zoom"]) {
        external.insert(name.to_owned(), json!(enabled(name)));
    }
    external.insert("email".to_owned(), json!(config.mail.enabled));
    external.insert("phone".to_owned(), json!(config.phone.enabled));
    let body = json!({
        "external": Value::Object(external),
        "disable_signup": config.signup_disabled,
        "mailer_autoconfirm": config.mail.autoconfirm,
        "phone_autoconfirm": config.phone.autoconfirm,
        "sms_provider": config.phone.provider,
        "saml_enabled": false,
        "saml_private_key_next_configured": false,
        "passkeys_enabled": config.passkeys.enabled,
    });
    json_response(StatusCode::OK, &body)
}

pub(crate) async fn jwks(State(auth): State<Arc<Auth>>) -> Response {
    let keys = auth.parts.signer.jwks();
    let keys = serde_json::from_str(&keys).unwrap_or_else(|_| json!({"keys": []}));
    cached(&keys)
}

/// Both `OpenID`'s discovery and OAuth's server metadata (RFC 8414).
pub(crate) async fn discovery(State(auth): State<Arc<Auth>>) -> Response {
    let config = &auth.config;
    let base = config.issuer.trim_end_matches('/');
    let mut body = json!({
        "issuer": config.issuer,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "userinfo_endpoint": format!("{base}/oauth/userinfo"),
        "scopes_supported": crate::model::SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "claims_supported": [
            "sub", "aud", "iss", "exp", "iat", "auth_time", "nonce", "email", "email_verified",
            "phone_number", "phone_number_verified", "name", "picture", "preferred_username", "updated_at",
        ],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    let server = &config.oauth_server;
    if let (true, Some(body)) = (
        server.enabled && server.dynamic_registration,
        body.as_object_mut(),
    ) {
        let address = format!("{base}/oauth/clients/register");
        body.insert("registration_endpoint".to_owned(), address.into());
    }
    cached(&body)
}

pub(crate) async fn server_metadata(State(auth): State<Arc<Auth>>) -> Result<Response> {
    if !auth.config.oauth_server.enabled {
        return Err(AuthError::not_found(
            code::FEATURE_DISABLED,
            "OAuth server is disabled",
        ));
    }
    Ok(discovery(State(auth)).await)
}

/// The same where RFC 8414 wants it: at the root, with the issuer's path
/// behind. Another path is another issuer's.
pub(crate) async fn server_metadata_at(
    State(auth): State<Arc<Auth>>,
    Path(path): Path<String>,
) -> Result<Response> {
    let issuer = url::Url::parse(&auth.config.issuer).ok();
    let wanted = issuer.as_ref().map_or("", url::Url::path).trim_matches('/');
    if path.trim_matches('/') == wanted {
        return server_metadata(State(auth)).await;
    }
    Ok(nothing().await)
}

/// What is asked for does not exist.
pub(crate) async fn nothing() -> Response {
    let mut response = Response::new("404 page not found\n".into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

pub(crate) async fn no_such_method() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

fn cached(body: &Value) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    response
}
