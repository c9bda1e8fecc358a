//! `DELETE /user/identities/{id}`: one way of signing in less.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{AuthError, Result, code, json_response};
use crate::model::{Identity, User};
use crate::request::{Call, SignedIn};
use crate::room::Auth;
use crate::store::{Actor, Tx, UserPatch};

/// Linking and unlinking are off unless the operator wants them.
pub(crate) fn require_linking(auth: &Auth) -> Result<()> {
    if auth.config.manual_linking_enabled {
        return Ok(());
    }
    Err(AuthError::not_found(
        code::MANUAL_LINKING_DISABLED,
        "Manual linking is disabled",
    ))
}

pub(crate) async fn unlink(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    require_linking(&auth)?;
    let id = Uuid::parse_str(&id).map_err(|_| {
        AuthError::not_found(code::VALIDATION_FAILED, "identity_id must be an UUID")
    })?;
    let tx = auth.store.begin().await?;
    let user = tx.user_for_update(who.user.id).await?;
    let mut user = user.ok_or(AuthError::Internal("Database error loading user"))?;
    if user.identities.len() <= 1 {
        return Err(AuthError::unprocessable(
            code::SINGLE_IDENTITY_NOT_DELETABLE,
            "User must have at least 1 identity after unlinking",
        ));
    }
    let at = user
        .identities
        .iter()
        .position(|identity| identity.id == id);
    let at = at.ok_or_else(|| {
        AuthError::unprocessable(code::IDENTITY_NOT_FOUND, "Identity doesn't exist")
    })?;
    let gone = user.identities.remove(at);
    let traits = json!({
        "identity_id": gone.id.to_string(),
        "provider": gone.provider,
        "provider_id": gone.provider_id,
    });
    let address = call.address_text();
    tx.audit(
        &Actor::user(&user),
        "identity_unlinked",
        Some(traits),
        &address,
    )
    .await?;
    tx.delete_identity(gone.id).await?;
    let told = user.email.clone();
    if gone.provider == "phone" {
        let patch = UserPatch::new(tx.now)
            .optional("phone", None)
            .at("phone_confirmed_at", None);
        tx.patch(&user, patch).await?;
    } else {
        move_email(&auth, &tx, &mut user).await?;
    }
    tx.record_providers(&mut user).await?;
    let more = [("Provider", gone.provider.as_str())];
    auth.notify(&tx, &user, &told, "identity_unlinked_notification", &more)
        .await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    Ok(json_response(StatusCode::OK, &json!({})))
}

/// The address must be one of an identity that is left: first those that a
/// provider has verified. One that nobody has verified does not stay confirmed.
async fn move_email(auth: &Auth, tx: &Tx, user: &mut User) -> Result<()> {
    if user
        .identities
        .iter()
        .any(|identity| identity.email == user.email)
    {
        return Ok(());
    }
    let verified = |identity: &Identity| {
        identity
            .identity_data
            .get("email_verified")
            .and_then(Value::as_bool)
            == Some(true)
    };
    let mut left: Vec<&Identity> = user.identities.iter().collect();
    left.sort_by_key(|identity| {
        (
            identity.email.is_empty(),
            !verified(identity),
            identity.created_at,
        )
    });
    let mut chosen = None;
    for identity in left {
        let taken = match identity.email.as_str() {
            "" => None,
            email => tx.user_by_email(email, &user.aud).await?,
        };
        if taken.is_none_or(|other| other.id == user.id) {
            chosen = Some(identity);
            break;
        }
    }
    let chosen = chosen.ok_or_else(|| {
        AuthError::unprocessable(
            code::EMAIL_CONFLICT_IDENTITY_NOT_DELETABLE,
            "Unable to unlink identity due to email conflict",
        )
    })?;
    let email = Some(chosen.email.as_str()).filter(|email| !email.is_empty());
    let mut patch = UserPatch::new(tx.now).optional("email", email);
    if email.is_none() || (!verified(chosen) && !auth.config.mail.autoconfirm) {
        patch = patch.at("email_confirmed_at", None);
    }
    for column in [
        "confirmation_token",
        "recovery_token",
        "email_change",
        "email_change_token_current",
        "email_change_token_new",
        "phone_change",
        "phone_change_token",
        "reauthentication_token",
    ] {
        patch = patch.text(column, "");
    }
    tx.patch(user, patch).await?;
    // They were made for the address before.
    tx.clear_one_time_tokens(user.id).await?;
    let email = chosen.email.clone();
    user.email = email;
    Ok(())
}
