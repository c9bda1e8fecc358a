//! `/admin/oauth/clients`, and `/oauth/clients/register`, where clients
//! register themselves (RFC 7591).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use kernel::Secret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::model::{Client, ClientAuth};
use crate::oauth_server::registration::{Registration, Update, Wrong};
use crate::oauth_server::{hashed, oauth};
use crate::request::{Admin, Call};
use crate::room::Auth;
use crate::routes::pages::{Page, with_page_headers};
use crate::store::{ClientChange, NewClient};

pub(crate) async fn create(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    call: Call,
) -> Result<Response> {
    auth.require_oauth_server()?;
    let said: Registration = call.json()?;
    let new = said.check("manual").map_err(invalid)?;
    let (client, secret) = insert(&auth, new).await?;
    Ok(with_secret(
        StatusCode::CREATED,
        client.document(),
        secret.as_ref(),
    ))
}

pub(crate) async fn register(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.require_oauth_server()?;
    if !auth.config.oauth_server.dynamic_registration {
        return Err(AuthError::forbidden(
            code::OAUTH_DYNAMIC_CLIENT_REGISTRATION_DISABLED,
            "Dynamic client registration is not enabled",
        ));
    }
    auth.limit(Kind::OAuthClientRegister, &call)?;
    let said: Registration = serde_json::from_slice(&call.body)
        .map_err(|_| oauth("invalid_client_metadata", "Invalid JSON body"))?;
    let new = said.check("dynamic").map_err(|wrong| match wrong {
        Wrong::Address(text) => oauth("invalid_redirect_uri", text),
        Wrong::Other(text) => oauth("invalid_client_metadata", text),
    })?;
    let (client, secret) = insert(&auth, new).await?;
    let mut body = client.document();
    if let Some(body) = body.as_object_mut() {
        let at = client.created_at.map_or(0, jiff::Timestamp::as_second);
        body.insert("client_id_issued_at".to_owned(), at.into());
        if secret.is_some() {
            // It does not expire.
            body.insert("client_secret_expires_at".to_owned(), 0.into());
        }
    }
    Ok(with_secret(StatusCode::CREATED, body, secret.as_ref()))
}

pub(crate) async fn list(State(auth): State<Arc<Auth>>, _: Admin, call: Call) -> Result<Response> {
    auth.require_oauth_server()?;
    let page = Page::of(&call)?;
    let (clients, total) = auth.store.oauth_clients(&page).await?;
    let body = json!({"clients": clients.iter().map(Client::document).collect::<Vec<_>>()});
    let response = json_response(StatusCode::OK, &body);
    Ok(with_page_headers(response, &auth, &call, &page, total))
}

pub(crate) async fn get(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = find(&auth, &id).await?;
    Ok(json_response(StatusCode::OK, &client.document()))
}

pub(crate) async fn update(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    let client = find(&auth, &id).await?;
    let said: Update = call.json()?;
    let change = said.check(client.is_confidential()).map_err(invalid)?;
    let client = change_client(&auth, client.id, change).await?;
    Ok(json_response(StatusCode::OK, &client.document()))
}

pub(crate) async fn delete(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = find(&auth, &id).await?;
    let tx = auth.store.begin().await?;
    tx.delete_oauth_client(client.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn regenerate_secret(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = find(&auth, &id).await?;
    if !client.is_confidential() {
        return Err(AuthError::invalid(
            "Cannot regenerate secret for public client",
        ));
    }
    let secret = auth.unguessable();
    let change = ClientChange {
        secret_hash: Some(hashed(secret.expose())),
        ..ClientChange::default()
    };
    let client = change_client(&auth, client.id, change).await?;
    Ok(with_secret(
        StatusCode::OK,
        client.document(),
        Some(&secret),
    ))
}

fn invalid(wrong: Wrong) -> AuthError {
    AuthError::invalid(wrong.into_text())
}

fn not_found() -> AuthError {
    AuthError::not_found(code::OAUTH_CLIENT_NOT_FOUND, "OAuth client not found")
}

async fn find(auth: &Auth, id: &str) -> Result<Client> {
    auth.require_oauth_server()?;
    let id = Uuid::parse_str(id).map_err(|_| AuthError::invalid("invalid client_id format"))?;
    auth.store.oauth_client(id).await?.ok_or_else(not_found)
}

async fn change_client(auth: &Auth, id: Uuid, change: ClientChange) -> Result<Client> {
    let tx = auth.store.begin().await?;
    let client = tx.change_oauth_client(id, change).await?;
    let client = client.ok_or_else(not_found)?;
    tx.commit().await?;
    Ok(client)
}

/// Registers a client, with a secret if it can keep one.
async fn insert(auth: &Auth, mut new: NewClient) -> Result<(Client, Option<Secret>)> {
    let secret = (new.auth_method != ClientAuth::None.as_str()).then(|| auth.unguessable());
    new.secret_hash = secret.as_ref().map(|secret| hashed(secret.expose()));
    let tx = auth.store.begin().await?;
    let client = tx.insert_oauth_client(&new).await?;
    tx.commit().await?;
    Ok((client, secret))
}

/// The only time that the secret is told.
fn with_secret(status: StatusCode, mut body: Value, secret: Option<&Secret>) -> Response {
    if let (Some(body), Some(secret)) = (body.as_object_mut(), secret) {
        body.insert("client_secret".to_owned(), secret.expose().into());
    }
    let mut response = json_response(status, &body);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
