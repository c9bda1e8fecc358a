//! `GET` and `PUT /user`, and `GET /reauthenticate`, whose code a new password
//! may need.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::accounts;
use crate::codes::{check_challenge, is_valid, token_hash};
use crate::error::{AuthError, Result, code, json_response};
use crate::mails::{CodeMail, Flow};
use crate::model::{Session, User};
use crate::request::{AnySession, Call, Data, SignedIn, nullable};
use crate::room::Auth;
use crate::routes::signup::channel;
use crate::store::{Actor, OneTime, Tx, UserPatch};

pub(crate) const DUPLICATE_EMAIL: &str =
    "A user with this email address has already been registered";
pub(crate) const DUPLICATE_PHONE: &str =
    "A user with this phone number has already been registered";
/// A session younger than this may change the password without a code.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn get(
    State(auth): State<Arc<Auth>>,
    AnySession(who): AnySession,
    call: Call,
) -> Result<Response> {
    if who.claims.audience() != Some(call.audience(&auth).as_str()) {
        return Err(AuthError::invalid(
            "Token audience doesn't match request audience",
        ));
    }
    Ok(json_response(StatusCode::OK, &who.user.document()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
    password: Option<String>,
    current_password: Option<String>,
    #[serde(deserialize_with = "nullable")]
    nonce: String,
    data: Data,
    app_metadata: Data,
    #[serde(deserialize_with = "nullable")]
    channel: String,
    #[serde(deserialize_with = "nullable")]
    code_challenge: String,
    #[serde(deserialize_with = "nullable")]
    code_challenge_method: String,
}

impl Params {
    /// A new password; an empty one takes the password away.
    fn new_password(&self) -> Option<&str> {
        self.password.as_deref().filter(|text| !text.is_empty())
    }
}

pub(crate) async fn update(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    let mut params: Params = call.json()?;
    if !params.email.is_empty() {
        params.email = accounts::email(&params.email)?;
    }
    if !params.phone.is_empty() {
        params.phone = accounts::phone(&params.phone)?;
        channel(&params.channel)?;
    }
    if let Some(password) = &params.password {
        auth.check_password(password).await?;
    }
    check_challenge(&params.code_challenge, &params.code_challenge_method)?;
    refuse(&params, &who)?;
    refuse_duplicates(&auth, &params, &who.user).await?;
    let hash = match params.new_password() {
        Some(password) => {
            auth.check_change(&params, &who, password).await?;
            Some(auth.hash(password).await?)
        }
        None => None,
    };
    let tx = auth.store.begin().await?;
    let user = tx.user_for_update(who.user.id).await?;
    let mut user = user.ok_or(AuthError::Internal("Database error loading user"))?;
    if params.password.is_some() {
        auth.may_change_password(&tx, &params, &who, &mut user)
            .await?;
        let present = who.session.as_ref().map(|session| session.id);
        tx.set_password(&mut user, hash, present).await?;
        tx.audit(&Actor::user(&user), "user_updated_password", None, "")
            .await?;
        let to = user.email.clone();
        auth.notify(&tx, &user, &to, "password_changed_notification", &[])
            .await?;
    }
    if let Some(data) = &params.data {
        tx.merge_user_metadata(&mut user, data).await?;
    }
    auth.change_addresses(&tx, &call, &params, &mut user)
        .await?;
    tx.audit(&Actor::user(&user), "user_modified", None, "")
        .await?;
    tx.reload(&mut user).await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    Ok(json_response(StatusCode::OK, &user.document()))
}

/// What this user may not change, whoever they are.
fn refuse(params: &Params, who: &SignedIn) -> Result<()> {
    let user = &who.user;
    if params.app_metadata.is_some() {
        return Err(AuthError::forbidden(
            code::NOT_ADMIN,
            "Updating app_metadata requires admin privileges",
        ));
    }
    let new_email = !params.email.is_empty() && params.email != user.email;
    let new_phone = !params.phone.is_empty() && params.phone != user.phone;
    let new_password = params.new_password().is_some();
    if user.has_mfa() && !who.is_aal2() && (new_email || new_phone || new_password) {
        return Err(AuthError::new(
            StatusCode::UNAUTHORIZED,
            code::INSUFFICIENT_AAL,
            "AAL2 session is required to update email or password when MFA is enabled.",
        ));
    }
    if user.is_anonymous && new_password && params.email.is_empty() && params.phone.is_empty() {
        return Err(AuthError::unprocessable(
            code::VALIDATION_FAILED,
            "Updating password of an anonymous user without an email or phone is not allowed",
        ));
    }
    if user.is_sso_user && (new_email || new_phone || new_password || !params.nonce.is_empty()) {
        return Err(AuthError::unprocessable(
            code::USER_SSO_MANAGED,
            "Updating email, phone, password of a SSO account only possible via SSO",
        ));
    }
    Ok(())
}

async fn refuse_duplicates(auth: &Auth, params: &Params, user: &User) -> Result<()> {
    if !params.email.is_empty() && params.email != user.email {
        let taken = auth
            .store
            .duplicate_email(&params.email, &user.aud, Some(user.id));
        if taken.await?.is_some() {
            return Err(AuthError::unprocessable(
                code::EMAIL_EXISTS,
                DUPLICATE_EMAIL,
            ));
        }
    }
    if !params.phone.is_empty() && params.phone != user.phone {
        let taken = auth.store.user_by_phone(&params.phone, &user.aud).await?;
        if taken.is_some() {
            return Err(AuthError::unprocessable(
                code::PHONE_EXISTS,
                DUPLICATE_PHONE,
            ));
        }
    }
    Ok(())
}

impl Auth {
    /// Whether the old password was shown, where it must be, and the new one
    /// is another.
    async fn check_change(&self, params: &Params, who: &SignedIn, password: &str) -> Result<()> {
        if !who.user.has_password() {
            return Ok(());
        }
        let recovering = who.session.as_ref().is_some_and(Session::is_recovery);
        if self.config.current_password_required && !recovering {
            let current = params.current_password.as_deref().unwrap_or_default();
            if current.is_empty() {
                return Err(AuthError::bad_request(
                    code::CURRENT_PASSWORD_REQUIRED,
                    "Current password required when setting new password.",
                ));
            }
            if !self
                .verify_password(Some(&who.user), current)
                .await?
                .is_right()
            {
                return Err(AuthError::bad_request(
                    code::CURRENT_PASSWORD_INVALID,
                    "Current password required when setting new password.",
                ));
            }
        }
        if self
            .verify_password(Some(&who.user), password)
            .await?
            .is_right()
        {
            return Err(AuthError::unprocessable(
                code::SAME_PASSWORD,
                "New password should be different from the old password.",
            ));
        }
        Ok(())
    }

    /// A session that is not recent needs a code.
    async fn may_change_password(
        &self,
        tx: &Tx,
        params: &Params,
        who: &SignedIn,
        user: &mut User,
    ) -> Result<()> {
        if !self.config.reauthenticate_for_password {
            return Ok(());
        }
        let created = who.session.as_ref().and_then(|session| session.created_at);
        let recent = created.and_then(|at| at.checked_add(RECENT).ok());
        if recent.is_some_and(|end| tx.now <= end) {
            return Ok(());
        }
        if params.nonce.is_empty() {
            return Err(AuthError::bad_request(
                code::REAUTHENTICATION_NEEDED,
                "Password update requires reauthentication",
            ));
        }
        let (address, lifetime) = if user.email.is_empty() {
            (&user.phone, self.config.phone.otp_lifetime)
        } else {
            (&user.email, self.config.mail.otp_lifetime)
        };
        let hash = token_hash(address, &params.nonce);
        let (stored, sent) = user.one_time(OneTime::Reauthentication);
        if !is_valid(&hash, stored, sent, lifetime, tx.now) {
            return Err(AuthError::unprocessable(
                code::REAUTHENTICATION_NOT_VALID,
                "Nonce has expired or is invalid",
            ));
        }
        user.reauthentication_token.clear();
        tx.clear_one_time_tokens(user.id).await
    }

    /// New addresses are asked to confirm themselves, unless nobody is.
    async fn change_addresses(
        &self,
        tx: &Tx,
        call: &Call,
        params: &Params,
        user: &mut User,
    ) -> Result<()> {
        if !params.email.is_empty() && params.email != user.email {
            if user.is_anonymous && self.config.mail.autoconfirm {
                params.email.clone_into(&mut user.email_change);
                self.finish_email_change(tx, user).await?;
            } else {
                let flow = Flow::of(&params.code_challenge);
                if flow == Flow::Pkce {
                    let challenge = (
                        params.code_challenge.as_str(),
                        params.code_challenge_method.as_str(),
                    );
                    tx.insert_flow(user.id, "email_change", "email_change", challenge)
                        .await?;
                }
                self.send_email_change(tx, call, user, &params.email, flow)
                    .await?;
            }
        }
        if !params.phone.is_empty() && params.phone != user.phone {
            if self.config.phone.autoconfirm {
                params.phone.clone_into(&mut user.phone_change);
                self.finish_phone_change(tx, user, &params.phone).await?;
            } else {
                let channel = channel(&params.channel)?;
                self.send_phone_code(tx, user, &params.phone, OneTime::PhoneChange, channel)
                    .await?;
            }
        }
        Ok(())
    }

    /// The new address is the user's.
    pub(crate) async fn finish_email_change(&self, tx: &Tx, user: &mut User) -> Result<()> {
        let (old, new) = (user.email.clone(), user.email_change.clone());
        tx.own_identity(user, "email", &new, true).await?;
        tx.end_anonymity(user).await?;
        user.email = new;
        user.email_change.clear();
        user.email_change_token_new.clear();
        user.email_change_token_current.clear();
        user.email_change_confirm_status = 0;
        let patch = UserPatch::new(tx.now)
            .text("email", &user.email)
            .text("email_change", "")
            .text("email_change_token_new", "")
            .text("email_change_token_current", "")
            .number("email_change_confirm_status", 0);
        tx.patch(user, patch).await?;
        tx.clear_one_time_tokens(user.id).await?;
        if !user.is_confirmed() {
            tx.confirm(user).await?;
        }
        tx.record_providers(user).await?;
        self.notify(
            tx,
            user,
            &old,
            "email_changed_notification",
            &[("OldEmail", &old)],
        )
        .await
    }

    /// The new number is the user's.
    pub(crate) async fn finish_phone_change(
        &self,
        tx: &Tx,
        user: &mut User,
        phone: &str,
    ) -> Result<()> {
        let old = user.phone.clone();
        tx.own_identity(user, "phone", phone, true).await?;
        phone.clone_into(&mut user.phone);
        user.phone_change.clear();
        user.phone_change_token.clear();
        user.phone_confirmed_at = Some(tx.now);
        let patch = UserPatch::new(tx.now)
            .text("phone", phone)
            .text("phone_change", "")
            .text("phone_change_token", "")
            .at("phone_confirmed_at", user.phone_confirmed_at);
        tx.patch(user, patch).await?;
        tx.clear_one_time_tokens(user.id).await?;
        tx.end_anonymity(user).await?;
        tx.record_providers(user).await?;
        let to = user.email.clone();
        let more = [("OldPhone", old.as_str()), ("Phone", phone)];
        if old.is_empty() {
            return Ok(());
        }
        self.notify(tx, user, &to, "phone_changed_notification", &more)
            .await
    }
}

pub(crate) async fn reauthenticate(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    let mut user = who.user;
    if user.email.is_empty() && user.phone.is_empty() {
        return Err(AuthError::invalid(
            "Reauthentication requires the user to have an email or a phone number",
        ));
    }
    let tx = auth.store.begin().await?;
    tx.audit(
        &Actor::user(&user),
        "user_reauthenticate_requested",
        None,
        "",
    )
    .await?;
    let mut body = Map::new();
    if user.email.is_empty() {
        if !user.is_phone_confirmed() {
            return Err(AuthError::unprocessable(
                code::PHONE_NOT_CONFIRMED,
                "Please verify your phone first.",
            ));
        }
        let phone = user.phone.clone();
        let id = auth.send_phone_code(&tx, &mut user, &phone, OneTime::Reauthentication, "sms");
        if let Some(id) = id.await? {
            body.insert("message_id".to_owned(), id.into());
        }
    } else {
        if !user.is_confirmed() {
            return Err(AuthError::unprocessable(
                code::EMAIL_NOT_CONFIRMED,
                "Please verify your email first.",
            ));
        }
        let mail = CodeMail::Reauthentication;
        auth.send_code(&tx, &call, &mut user, mail, Flow::Implicit)
            .await?;
    }
    tx.commit().await?;
    auth.parts.outbox.wake();
    Ok(json_response(StatusCode::OK, &json!(body)))
}
