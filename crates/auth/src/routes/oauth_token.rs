//! `/oauth/token` and `/oauth/userinfo`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use kernel::Secret;
use serde_json::json;

use crate::codes::check_verifier;
use crate::error::{AuthError, Result, json_response};
use crate::model::{Authorization, Client, Method, has_scope};
use crate::oauth_server::credentials::{Form, Shown};
use crate::oauth_server::{described, hashed, oauth};
use crate::request::{AnySession, Call};
use crate::room::Auth;
use crate::store::{Actor, NewSession, Tx};
use crate::tokens::Issued;

pub(crate) async fn token(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.require_oauth_server()?;
    let form = Form::of(&call)?;
    let grant = form.text("grant_type");
    if grant.is_empty() {
        return Err(oauth("invalid_request", "grant_type is required"));
    }
    let client = match auth.shown_client(&call, &form).await? {
        Shown::Client(client) => client,
        Shown::Refused(response) => return Ok(response),
    };
    if !matches!(grant, "authorization_code" | "refresh_token") {
        let text = format!("Unsupported grant type: {grant}");
        return Err(oauth("unsupported_grant_type", text));
    }
    if !client.may(grant) {
        let text = format!("Client is not allowed to use grant type: {grant}");
        return Err(oauth("unauthorized_client", text));
    }
    if grant == "refresh_token" {
        return refresh(&auth, &call, &client, &form).await;
    }
    by_code(&auth, &call, &client, &form).await
}

fn invalid_grant(text: &'static str) -> AuthError {
    oauth("invalid_grant", text)
}

async fn by_code(auth: &Auth, call: &Call, client: &Client, form: &Form) -> Result<Response> {
    let code = form.text("code");
    if code.is_empty() {
        let text = "code is required for authorization_code grant";
        return Err(oauth("invalid_request", text));
    }
    let tx = auth.store.begin().await?;
    let asked = tx.authorization_by_code(&hashed(code)).await?;
    let asked = asked.ok_or_else(|| invalid_grant("Invalid authorization code"))?;
    if asked.client_id != client.id {
        return Err(invalid_grant(
            "Authorization code was not issued for this client",
        ));
    }
    if asked.status != "approved" {
        // It was used: two have it, and one of them stole it.
        tx.end_session(asked.id).await?;
        tx.commit().await?;
        return Err(invalid_grant("Invalid authorization code"));
    }
    check(&tx, &asked, form)?;
    let user = match asked.user_id {
        Some(id) => tx.user_for_update(id).await?,
        None => None,
    };
    let user = user.ok_or_else(|| invalid_grant("User not found for authorization code"))?;
    if user.is_banned(tx.now) {
        return Err(oauth("access_denied", "User is banned"));
    }
    let id_token = if has_scope(&asked.scope, "openid") {
        Some(auth.id_token(&tx, &user, &asked)?)
    } else {
        None
    };
    let traits = json!({
        "provider_type": "oauth_provider_authorization_code",
        "client_id": client.id.to_string(),
    });
    tx.audit(&Actor::user(&user), "login", Some(traits), "")
        .await?;
    let session = NewSession {
        id: Some(asked.id),
        oauth_client_id: Some(client.id),
        scopes: Some(asked.scope.clone()),
        ..NewSession::of(call)
    };
    let issued = auth.issue(&tx, user, Method::OAuthServer, &session).await?;
    tx.close_authorization(asked.id, "expired").await?;
    tx.commit().await?;
    Ok(answer(client, &issued, id_token.as_ref()))
}

/// Whether this is who asked, for what they asked.
fn check(tx: &Tx, asked: &Authorization, form: &Form) -> Result<()> {
    if asked.is_expired(tx.now) {
        return Err(invalid_grant("Authorization code has expired"));
    }
    let resource = form.text("resource");
    if !resource.is_empty() && resource != asked.resource {
        return Err(oauth(
            "invalid_target",
            "resource does not match the authorization request",
        ));
    }
    let address = form.text("redirect_uri");
    if !address.is_empty() && address != asked.redirect_uri {
        return Err(invalid_grant("Invalid redirect_uri"));
    }
    let verifier = form.text("code_verifier");
    // Whatever a row of another server's making says of its method.
    check_verifier(&asked.code_challenge, "s256", verifier)
        .map_err(|_| invalid_grant("PKCE verification failed"))
}

async fn refresh(auth: &Auth, call: &Call, client: &Client, form: &Form) -> Result<Response> {
    let token = form.text("refresh_token");
    if token.is_empty() {
        let text = "refresh_token is required for refresh_token grant";
        return Err(oauth("invalid_request", text));
    }
    let issued = auth.refresh(token, Some(client.id), call).await;
    let issued = issued.map_err(|error| match error {
        AuthError::Refused { message, .. } => AuthError::OAuth {
            error: "invalid_grant",
            description: message,
        },
        // A token of somebody else's is no proof, but the client is who it is.
        AuthError::OAuth { description, .. } => AuthError::OAuth {
            error: "invalid_grant",
            description,
        },
        inside => inside,
    })?;
    Ok(answer(client, &issued, None))
}

/// Tokens, without the user: who they are is a matter of scopes.
fn answer(client: &Client, issued: &Issued, id_token: Option<&Secret>) -> Response {
    let mut body = json!({
        "access_token": issued.access_token.expose(),
        "token_type": "bearer",
        "expires_in": issued.expires_in,
        "scope": issued.session.scopes,
    });
    if let Some(body) = body.as_object_mut() {
        if client.may("refresh_token") {
            let token = issued.refresh_token.expose();
            body.insert("refresh_token".to_owned(), token.into());
        }
        if let Some(token) = id_token {
            body.insert("id_token".to_owned(), token.expose().into());
        }
    }
    let mut response = json_response(StatusCode::OK, &body);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

pub(crate) async fn userinfo(
    State(auth): State<Arc<Auth>>,
    AnySession(who): AnySession,
) -> Result<Response> {
    auth.require_oauth_server()?;
    let scopes = who.session.as_ref().map_or("", |session| &session.scopes);
    let mut body = described(&who.user, scopes);
    body.insert("sub".to_owned(), who.user.id.to_string().into());
    if has_scope(scopes, "phone") && !who.user.phone.is_empty() {
        // GoTrue's names for it.
        body.insert("phone".to_owned(), who.user.phone.as_str().into());
        let verified = who.user.is_phone_confirmed();
        body.insert("phone_verified".to_owned(), verified.into());
    }
    if has_scope(scopes, "profile") {
        let data = who.user.user_metadata.clone();
        body.insert("user_metadata".to_owned(), data.into());
    }
    Ok(json_response(StatusCode::OK, &body.into()))
}
