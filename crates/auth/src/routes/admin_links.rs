//! `POST /admin/generate_link` and `POST /invite`: links made or sent by the
//! operator.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::accounts;
use crate::codes::{otp, token_hash};
use crate::error::{AuthError, Result, code, json_response};
use crate::mails::{CodeMail, Flow};
use crate::model::{User, own_identity_data};
use crate::request::{Admin, Call, Data, nullable};
use crate::room::Auth;
use crate::routes::signup::preview;
use crate::routes::user::DUPLICATE_EMAIL;
use crate::store::{Actor, NewUser, OneTime, Tx, UserPatch};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    new_email: String,
    #[serde(deserialize_with = "nullable")]
    password: String,
    data: Data,
    #[serde(deserialize_with = "nullable")]
    redirect_to: String,
}

fn taken() -> AuthError {
    AuthError::unprocessable(code::EMAIL_EXISTS, DUPLICATE_EMAIL)
}

impl Auth {
    /// A user by e-mail who does not exist yet; the project may object.
    async fn to_be(
        &self,
        call: &Call,
        email: &str,
        password_hash: Option<String>,
        data: Map<String, Value>,
    ) -> Result<NewUser> {
        let mut new = self.new_user(&call.audience(self), Some("email"), data);
        email.clone_into(&mut new.email);
        new.password_hash = password_hash;
        self.before_user_created(&preview(&new), call).await?;
        Ok(new)
    }
}

/// Makes the user, with the identity of their address.
async fn found(tx: &Tx, new: &NewUser) -> Result<User> {
    let mut user = tx.insert_user(new).await?;
    let identity = own_identity_data(user.id, "email", &new.email, false);
    tx.insert_identity(&mut user, "email", identity).await?;
    Ok(user)
}

pub(crate) async fn invite(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    call: Call,
) -> Result<Response> {
    let params: Params = call.json()?;
    let email = accounts::email(&params.email)?;
    let audience = call.audience(&auth);
    let existing = auth.store.user_by_email(&email, &audience).await?;
    let new = match &existing {
        Some(user) if user.is_confirmed() => return Err(taken()),
        Some(_) => None,
        None => {
            let data = params.data.unwrap_or_default();
            Some(auth.to_be(&call, &email, None, data).await?)
        }
    };
    let tx = auth.store.begin().await?;
    let mut user = match (existing, &new) {
        (Some(user), _) => user,
        (None, Some(new)) => found(&tx, new).await?,
        (None, None) => return Err(taken()),
    };
    invited(&tx, &admin, &user).await?;
    auth.send_code(&tx, &call, &mut user, CodeMail::Invite, Flow::Implicit)
        .await?;
    tx.reload(&mut user).await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    let body = user.document();
    if new.is_some() {
        auth.after_user_created(&body, &call).await?;
    }
    Ok(json_response(StatusCode::OK, &body))
}

async fn invited(tx: &Tx, admin: &Admin, user: &User) -> Result<()> {
    let traits = json!({"user_id": user.id.to_string(), "user_email": user.email});
    tx.audit(&Actor::admin(&admin.role), "user_invited", Some(traits), "")
        .await
}

/// Where the link leads in the end, if that is allowed.
fn destination(auth: &Auth, call: &Call, params: &Params) -> String {
    if auth.config.redirects.allows(&params.redirect_to) {
        return params.redirect_to.clone();
    }
    call.referrer(auth)
}

pub(crate) async fn generate(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    call: Call,
) -> Result<Response> {
    let mut params: Params = call.json()?;
    params.email = accounts::email(&params.email)?;
    let redirect_to = destination(&auth, &call, &params);
    let audience = call.audience(&auth);
    let user = auth.store.user_by_email(&params.email, &audience).await?;
    if user.is_none() {
        auth.for_a_stranger(&mut params).await?;
    }
    let hash = if user.is_none() && params.kind == "signup" {
        Some(auth.hash(&params.password).await?)
    } else {
        None
    };
    let otp = otp(&auth.rng, auth.config.mail.otp_length);
    let data = params.data.clone().unwrap_or_default();
    let new = if user.is_none() && matches!(params.kind.as_str(), "signup" | "invite") {
        Some(auth.to_be(&call, &params.email, hash, data.clone()).await?)
    } else {
        None
    };
    let tx = auth.store.begin().await?;
    let user = match &new {
        Some(new) => Some(found(&tx, new).await?),
        None => user,
    };
    let user = match (params.kind.as_str(), user) {
        (_, Some(user)) if new.is_some() => user,
        ("signup" | "invite", Some(user)) if user.is_confirmed() => return Err(taken()),
        ("signup", Some(mut user)) => {
            tx.merge_user_metadata(&mut user, &data).await?;
            user
        }
        (
            "invite" | "magiclink" | "recovery" | "email_change_current" | "email_change_new",
            Some(user),
        ) => user,
        (kind, _) => {
            return Err(AuthError::invalid(format!(
                "Invalid email action link type requested: {kind}"
            )));
        }
    };
    if params.kind == "invite" {
        invited(&tx, &admin, &user).await?;
    }
    let (mut user, token) = auth.link_token(&tx, &params, user, &otp).await?;
    let action = params
        .kind
        .strip_suffix("_current")
        .or(params.kind.strip_suffix("_new"));
    let link = auth.action_link(&token, action.unwrap_or(&params.kind), &redirect_to);
    tx.reload(&mut user).await?;
    tx.commit().await?;
    let mut body = user.document();
    if new.is_some() {
        auth.after_user_created(&body, &call).await?;
    }
    if let Some(body) = body.as_object_mut() {
        let told = [
            ("action_link", link),
            ("email_otp", otp),
            ("hashed_token", token),
            ("verification_type", params.kind),
            ("redirect_to", redirect_to),
        ];
        body.extend(told.map(|(name, text)| (name.to_owned(), text.into())));
    }
    Ok(json_response(StatusCode::OK, &body))
}

impl Auth {
    /// What a link can do for an address that nobody has.
    async fn for_a_stranger(&self, params: &mut Params) -> Result<()> {
        match params.kind.as_str() {
            "magiclink" => {
                "signup".clone_into(&mut params.kind);
                let unknown = crate::codes::unknown_password(&self.rng);
                unknown.expose().clone_into(&mut params.password);
                Ok(())
            }
            "recovery" | "email_change_current" | "email_change_new" => Err(AuthError::not_found(
                code::USER_NOT_FOUND,
                "User with this email not found",
            )),
            "signup" if params.password.is_empty() => {
                Err(AuthError::invalid("Signup requires a valid password"))
            }
            "signup" => self.check_password(&params.password).await,
            _ => Ok(()),
        }
    }

    /// Remembers the code that the link carries.
    async fn link_token(
        &self,
        tx: &Tx,
        params: &Params,
        mut user: User,
        otp: &str,
    ) -> Result<(User, String)> {
        let (kind, address) = match params.kind.as_str() {
            "magiclink" | "recovery" => {
                tx.audit(&Actor::user(&user), "user_recovery_requested", None, "")
                    .await?;
                (OneTime::Recovery, params.email.clone())
            }
            "signup" | "invite" => (OneTime::Confirmation, params.email.clone()),
            change => {
                let new = accounts::email(&params.new_email)?;
                if change == "email_change_current" && !self.config.mail.double_confirm {
                    return Err(AuthError::invalid(
                        "Enable secure email change to generate link for current email",
                    ));
                }
                let duplicate = self.store.duplicate_email(&new, &user.aud, Some(user.id));
                if duplicate.await?.is_some() {
                    return Err(taken());
                }
                let patch = UserPatch::new(tx.now)
                    .text("email_change", &new)
                    .number("email_change_confirm_status", 0);
                tx.patch(&user, patch).await?;
                user.email_change.clone_from(&new);
                match change {
                    "email_change_current" => (OneTime::EmailChangeCurrent, params.email.clone()),
                    _ => (OneTime::EmailChangeNew, new),
                }
            }
        };
        let hash = token_hash(&address, otp);
        let invited = params.kind == "invite";
        tx.remember(&mut user, kind, &hash, &address, invited)
            .await?;
        Ok((user, hash))
    }
}
