//! `/oauth/consent`: the consent page for projects that have none of their
//! own. What it looks like is in `oauth_server::page`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION};

use crate::codes::equal;
use crate::error::{AuthError, Result, code};
use crate::limits::Kind;
use crate::model::{Authorization, Client};
use crate::oauth_server::credentials::Form;
use crate::oauth_server::no_such_authorization;
use crate::oauth_server::page::{COOKIE, Words, notice};
use crate::request::Call;
use crate::room::Auth;
use crate::routes::token::prove;

/// Only where the application has no page itself.
fn require_page(auth: &Auth) -> Result<()> {
    auth.require_oauth_server()?;
    if auth.config.oauth_server.authorization_path.is_none() {
        return Ok(());
    }
    Err(AuthError::not_found(
        code::FEATURE_DISABLED,
        "Consent is asked for by the application",
    ))
}

pub(crate) async fn show(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    require_page(&auth)?;
    let id = call.asked("authorization_id").unwrap_or_default();
    let Some((asked, client)) = pending(&auth, &id).await? else {
        return Ok(gone());
    };
    let mark = auth.unguessable();
    let words = Words {
        mark: mark.expose(),
        email: "",
        wrong: None,
    };
    Ok(auth.consent_form(&asked, &client, &words, StatusCode::OK))
}

pub(crate) async fn answer(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    require_page(&auth)?;
    let form = Form::of(&call)?;
    if !is_ours(&auth, &call, form.text("mark")) {
        return Ok(notice(
            StatusCode::FORBIDDEN,
            "This form was not ours",
            "Go back to the application and begin again. Cookies must be allowed for this page.",
        ));
    }
    let Some((asked, client)) = pending(&auth, form.text("authorization_id")).await? else {
        return Ok(gone());
    };
    if form.text("action") != "approve" {
        return deny(&auth, &asked).await;
    }
    match approve(&auth, &call, &form, &asked).await {
        Ok(to) => Ok(see_other(&to)),
        Err(error) if error.status().is_client_error() => {
            let message = error.message();
            let words = Words {
                mark: form.text("mark"),
                email: form.text("email"),
                wrong: Some(&message),
            };
            Ok(auth.consent_form(&asked, &client, &words, error.status()))
        }
        Err(error) => Err(error),
    }
}

/// What is asked, as long as it can be answered.
async fn pending(auth: &Auth, id: &str) -> Result<Option<(Authorization, Client)>> {
    let Some(asked) = auth.store.oauth_authorization(id).await? else {
        return Ok(None);
    };
    if asked.is_expired(auth.clock.now()) || !asked.is_pending() {
        return Ok(None);
    }
    let client = auth.store.oauth_client(asked.client_id).await?;
    Ok(client.map(|client| (asked, client)))
}

/// The form was given to this browser by this page.
fn is_ours(auth: &Auth, call: &Call, mark: &str) -> bool {
    let home = auth.config.external_url.origin().ascii_serialization();
    if call.header("origin").is_some_and(|origin| origin != home) {
        return false;
    }
    let cookies = call.header("cookie").unwrap_or_default();
    let mut cookies = cookies
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let ours = cookies.find(|(name, _)| *name == COOKIE);
    !mark.is_empty() && ours.is_some_and(|(_, value)| equal(value, mark))
}

/// Whoever has the request may end it: nobody gains by that.
async fn deny(auth: &Auth, asked: &Authorization) -> Result<Response> {
    let tx = auth.store.begin().await?;
    let asked = auth
        .open_authorization(&tx, &asked.authorization_id)
        .await?;
    let to = auth.decide(&tx, &asked, uuid::Uuid::nil(), false).await?;
    tx.commit().await?;
    Ok(see_other(&to))
}

async fn approve(auth: &Auth, call: &Call, form: &Form, asked: &Authorization) -> Result<String> {
    auth.limit(Kind::SignInSignUps, call)?;
    if !auth.config.mail.enabled {
        return Err(AuthError::unprocessable(
            code::EMAIL_PROVIDER_DISABLED,
            "Email logins are disabled",
        ));
    }
    let email = form.text("email").trim();
    let user = auth
        .store
        .user_by_email(email, &auth.config.audience)
        .await?;
    let account = email.to_lowercase();
    let (user, rehash) = prove(auth, call, user, &account, form.text("password")).await?;
    if !user.is_confirmed() {
        return Err(AuthError::bad_request(
            code::EMAIL_NOT_CONFIRMED,
            "Email not confirmed",
        ));
    }
    let tx = auth.store.begin().await?;
    if let Some(hash) = rehash {
        tx.rehash_password(&user, &hash).await?;
    }
    let asked = auth
        .open_authorization(&tx, &asked.authorization_id)
        .await?;
    match asked.user_id {
        None => tx.set_authorization_user(asked.id, user.id).await?,
        Some(other) if other != user.id => return Err(no_such_authorization()),
        Some(_) => {}
    }
    let to = auth.decide(&tx, &asked, user.id, true).await?;
    tx.commit().await?;
    Ok(to)
}

fn gone() -> Response {
    notice(
        StatusCode::NOT_FOUND,
        "This request has ended",
        "It was answered already, or it waited too long. Go back to the application and begin again.",
    )
}

fn see_other(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::try_from(to) {
        headers.insert(LOCATION, to);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
