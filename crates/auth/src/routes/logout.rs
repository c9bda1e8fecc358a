//! `POST /logout`: everywhere, here, or everywhere else. A session that has
//! ended is gone at once, and so is every access token that names it, as far
//! as this room is asked.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use crate::error::{AuthError, Result};
use crate::request::{AnySession, Call};
use crate::room::Auth;
use crate::store::Actor;

pub(crate) async fn logout(
    State(auth): State<Arc<Auth>>,
    AnySession(who): AnySession,
    call: Call,
) -> Result<Response> {
    let scope = call.asked("scope").unwrap_or_default();
    let tx = auth.store.begin().await?;
    tx.audit(&Actor::user(&who.user), "logout", None, "")
        .await?;
    match (scope.as_str(), &who.session) {
        // An OAuth client ends what it was given, not what is the user's.
        (_, Some(session)) if session.oauth_client_id.is_some() => {
            tx.end_session(session.id).await?;
        }
        ("local", Some(session)) => tx.end_session(session.id).await?,
        ("others", Some(session)) => tx.end_other_sessions(who.user.id, session.id).await?,
        ("" | "global" | "local" | "others", _) => tx.end_sessions(who.user.id).await?,
        (scope, _) => {
            return Err(AuthError::invalid(format!(
                "Unsupported logout scope {scope:?}"
            )));
        }
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
