//! Codes and links on request: `POST /otp`, `/magiclink`, `/recover`,
//! `/resend`.
//!
//! Whether an account exists must not show: what is unknown is answered like
//! what is known, and not sooner than after [`FLOOR`]. GoTrue tells it all the
//! same in two answers, and so do we unless `hide_accounts` says otherwise
//! ([`Auth::quietly`]): to `create_user: false`, and by refusing to write to
//! somebody too often.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::accounts;
use crate::codes::{check_challenge, unknown_password};
use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::mails::{CodeMail, Flow};
use crate::model::User;
use crate::request::{Call, Data, nullable};
use crate::room::Auth;
use crate::routes::signup;
use crate::store::{Actor, OneTime};

/// Longer than a code takes to be made and queued.
const FLOOR: Duration = Duration::from_millis(60);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
    create_user: Option<bool>,
    data: Data,
    #[serde(deserialize_with = "nullable")]
    channel: String,
    #[serde(deserialize_with = "nullable")]
    code_challenge: String,
    #[serde(deserialize_with = "nullable")]
    code_challenge_method: String,
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
}

impl Params {
    fn challenge(&self) -> (&str, &str) {
        (&self.code_challenge, &self.code_challenge_method)
    }
}

fn nothing_to_tell() -> Response {
    json_response(StatusCode::OK, &json!({}))
}

/// Gives every answer the same least time.
async fn in_equal_time<T>(answer: impl Future<Output = T>) -> T {
    let (answer, ()) = futures_util::future::join(answer, tokio::time::sleep(FLOOR)).await;
    answer
}

pub(crate) async fn otp(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::Otp, &call)?;
    auth.require_human(&call).await?;
    let mut params: Params = call.json()?;
    if !params.email.is_empty() && !params.phone.is_empty() {
        return Err(AuthError::invalid(
            "Only an email address or phone number should be provided",
        ));
    }
    if !params.email.is_empty() && !params.channel.is_empty() {
        return Err(AuthError::invalid(
            "Channel should only be specified with Phone OTP",
        ));
    }
    check_challenge(&params.code_challenge, &params.code_challenge_method)?;
    if params.create_user == Some(false)
        && !in_equal_time(auth.is_known(&mut params, &call)).await?
    {
        let told = AuthError::unprocessable(code::OTP_DISABLED, "Signups not allowed for otp");
        return auth.quietly(Err(told));
    }
    if !params.email.is_empty() {
        return auth.quietly(in_equal_time(auth.magic_link(&call, params)).await);
    }
    if !params.phone.is_empty() {
        return auth.quietly(in_equal_time(Box::pin(auth.phone_code(&call, params))).await);
    }
    Err(AuthError::invalid("One of email or phone must be set"))
}

pub(crate) async fn magic_link(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::Otp, &call)?;
    auth.require_human(&call).await?;
    let params: Params = call.json()?;
    if params.email.is_empty() {
        return Err(AuthError::unprocessable(
            code::VALIDATION_FAILED,
            "Password recovery requires an email",
        ));
    }
    check_challenge(&params.code_challenge, &params.code_challenge_method)?;
    auth.quietly(in_equal_time(auth.magic_link(&call, params)).await)
}

impl Auth {
    /// The answer, or none that tells who has an account: only somebody who
    /// is there can be written to too often. It is the same then for all, and
    /// without the id of a message.
    fn quietly(&self, answer: Result<Response>) -> Result<Response> {
        let telling = [
            code::OTP_DISABLED,
            code::SIGNUP_DISABLED,
            code::OVER_EMAIL_SEND_RATE_LIMIT,
            code::OVER_SMS_SEND_RATE_LIMIT,
        ];
        match answer {
            answer if !self.config.hide_accounts => answer,
            Err(AuthError::Refused { code, .. }) if telling.contains(&code) => {
                Ok(nothing_to_tell())
            }
            answer => answer.map(|_| nothing_to_tell()),
        }
    }

    async fn is_known(&self, params: &mut Params, call: &Call) -> Result<bool> {
        let audience = call.audience(self);
        let user = if params.email.is_empty() {
            params.phone = accounts::phone(&params.phone)?;
            self.store.user_by_phone(&params.phone, &audience).await?
        } else {
            params.email = accounts::email(&params.email)?;
            self.store.user_by_email(&params.email, &audience).await?
        };
        Ok(user.is_some())
    }

    async fn magic_link(&self, call: &Call, params: Params) -> Result<Response> {
        if !self.config.mail.enabled || !self.config.mail.magic_link_enabled {
            let message = if self.config.mail.enabled {
                "Login with magic link is disabled"
            } else {
                "Email logins are disabled"
            };
            return Err(AuthError::unprocessable(
                code::EMAIL_PROVIDER_DISABLED,
                message,
            ));
        }
        let email = accounts::email(&params.email)?;
        let audience = call.audience(self);
        let mut user = self.store.user_by_email(&email, &audience).await?;
        if user.as_ref().is_none_or(|user| !user.is_confirmed()) {
            let new = signup::Params {
                email: email.clone(),
                password: unknown_password(&self.rng).expose().to_owned(),
                data: params.data.clone(),
                code_challenge: params.code_challenge.clone(),
                code_challenge_method: params.code_challenge_method.clone(),
                ..signup::Params::default()
            };
            self.sign_up_unasked(call, new, &audience).await?;
            if !self.config.mail.autoconfirm {
                // The mail that confirms the address signs in as well.
                return Ok(nothing_to_tell());
            }
            user = self.store.user_by_email(&email, &audience).await?;
        }
        let Some(mut user) = user else {
            return Ok(nothing_to_tell());
        };
        self.send_link(call, &mut user, CodeMail::MagicLink, params.challenge())
            .await?;
        Ok(nothing_to_tell())
    }

    /// A sign-up with a password that nobody knows, which no rule may refuse.
    async fn sign_up_unasked(
        &self,
        call: &Call,
        mut new: signup::Params,
        audience: &str,
    ) -> Result<()> {
        // One of each kind, in case the rules ask for them.
        new.password.insert_str(0, "aA0!");
        new.password.truncate(crate::password::PASSWORD_BYTES_MAX);
        self.sign_up(call, new, audience).await?;
        Ok(())
    }

    async fn send_link(
        &self,
        call: &Call,
        user: &mut User,
        mail: CodeMail,
        challenge: (&str, &str),
    ) -> Result<()> {
        let flow = Flow::of(challenge.0);
        let tx = self.store.begin().await?;
        if flow == Flow::Pkce {
            tx.insert_flow(user.id, mail.action(), mail.action(), challenge)
                .await?;
        }
        tx.audit(&Actor::user(user), "user_recovery_requested", None, "")
            .await?;
        self.send_code(&tx, call, user, mail, flow).await?;
        tx.commit().await?;
        self.parts.outbox.wake();
        Ok(())
    }

    async fn phone_code(&self, call: &Call, params: Params) -> Result<Response> {
        if !self.config.phone.enabled {
            return Err(AuthError::bad_request(
                code::PHONE_PROVIDER_DISABLED,
                "Unsupported phone provider",
            ));
        }
        let phone = accounts::phone(&params.phone)?;
        let channel = signup::channel(&params.channel)?;
        let audience = call.audience(self);
        let mut user = self.store.user_by_phone(&phone, &audience).await?;
        if user.as_ref().is_none_or(|user| !user.is_phone_confirmed()) {
            let new = signup::Params {
                phone: phone.clone(),
                password: unknown_password(&self.rng).expose().to_owned(),
                data: params.data.clone(),
                channel: channel.to_owned(),
                ..signup::Params::default()
            };
            self.sign_up_unasked(call, new, &audience).await?;
            if !self.config.phone.autoconfirm {
                return Ok(nothing_to_tell());
            }
            user = self.store.user_by_phone(&phone, &audience).await?;
        }
        let Some(mut user) = user else {
            return Ok(nothing_to_tell());
        };
        let tx = self.store.begin().await?;
        let traits = json!({"channel": channel});
        tx.audit(
            &Actor::user(&user),
            "user_recovery_requested",
            Some(traits),
            "",
        )
        .await?;
        let id = self
            .send_phone_code(&tx, &mut user, &phone, OneTime::Confirmation, channel)
            .await?;
        tx.commit().await?;
        Ok(message(id))
    }
}

fn message(id: Option<String>) -> Response {
    match id {
        Some(id) => json_response(StatusCode::OK, &json!({"message_id": id})),
        None => nothing_to_tell(),
    }
}

pub(crate) async fn recover(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::Otp, &call)?;
    auth.require_human(&call).await?;
    if !auth.config.mail.enabled {
        return Err(AuthError::bad_request(
            code::EMAIL_PROVIDER_DISABLED,
            "Email logins are disabled",
        ));
    }
    let params: Params = call.json()?;
    if params.email.is_empty() {
        return Err(AuthError::invalid("Password recovery requires an email"));
    }
    let email = accounts::email(&params.email)?;
    check_challenge(&params.code_challenge, &params.code_challenge_method)?;
    let answer = in_equal_time(async {
        let user = auth
            .store
            .user_by_email(&email, &call.audience(&auth))
            .await?;
        if let Some(mut user) = user {
            auth.send_link(&call, &mut user, CodeMail::Recovery, params.challenge())
                .await?;
        }
        Ok(nothing_to_tell())
    });
    auth.quietly(answer.await)
}

pub(crate) async fn resend(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::Otp, &call)?;
    auth.require_human(&call).await?;
    let params: Params = call.json()?;
    let by_mail = match params.kind.as_str() {
        "signup" | "email_change" => {
            check_challenge(&params.code_challenge, &params.code_challenge_method)?;
            true
        }
        "sms" | "phone_change" => false,
        _ => {
            return Err(AuthError::invalid(
                "Missing one of these types: signup, email_change, sms, phone_change",
            ));
        }
    };
    if params.email.is_empty() && params.kind == "signup" {
        return Err(AuthError::invalid(
            "Type provided requires an email address",
        ));
    }
    if params.phone.is_empty() && params.kind == "sms" {
        return Err(AuthError::invalid("Type provided requires a phone number"));
    }
    if !params.email.is_empty() && !params.phone.is_empty() {
        return Err(AuthError::invalid(
            "Only an email address or phone number should be provided.",
        ));
    }
    if params.email.is_empty() && params.phone.is_empty() {
        return Err(AuthError::invalid("Missing email address or phone number"));
    }
    auth.quietly(in_equal_time(auth.resend(&call, &params, by_mail)).await)
}

impl Auth {
    async fn resend(&self, call: &Call, params: &Params, by_mail: bool) -> Result<Response> {
        let audience = call.audience(self);
        let user = if params.email.is_empty() {
            if !self.config.phone.enabled {
                return Err(AuthError::bad_request(
                    code::PHONE_PROVIDER_DISABLED,
                    "Phone logins are disabled",
                ));
            }
            let phone = accounts::phone(&params.phone)?;
            self.store.user_by_phone(&phone, &audience).await?
        } else {
            if !self.config.mail.enabled {
                return Err(AuthError::bad_request(
                    code::EMAIL_PROVIDER_DISABLED,
                    "Email logins are disabled",
                ));
            }
            let email = accounts::email(&params.email)?;
            self.store.user_by_email(&email, &audience).await?
        };
        let Some(mut user) = user else {
            return Ok(nothing_to_tell());
        };
        let done = match params.kind.as_str() {
            "signup" => user.is_confirmed(),
            "sms" => user.is_phone_confirmed(),
            "email_change" => user.email_change.is_empty(),
            _ => user.phone_change.is_empty(),
        };
        if done {
            return Ok(nothing_to_tell());
        }
        if by_mail {
            self.resend_mail(call, params, &mut user).await?;
            return Ok(nothing_to_tell());
        }
        let (kind, phone) = if params.kind == "sms" {
            (OneTime::Confirmation, user.phone.clone())
        } else {
            (OneTime::PhoneChange, user.phone_change.clone())
        };
        let tx = self.store.begin().await?;
        tx.audit(&Actor::user(&user), "user_recovery_requested", None, "")
            .await?;
        let id = self
            .send_phone_code(&tx, &mut user, &phone, kind, "sms")
            .await?;
        tx.commit().await?;
        Ok(message(id))
    }

    async fn resend_mail(&self, call: &Call, params: &Params, user: &mut User) -> Result<()> {
        let flow = Flow::of(&params.code_challenge);
        let tx = self.store.begin().await?;
        let (kind, change) = if params.kind == "signup" {
            tx.audit(&Actor::user(user), "user_confirmation_requested", None, "")
                .await?;
            ("email/signup", None)
        } else {
            ("email_change", Some(user.email_change.clone()))
        };
        if flow == Flow::Pkce {
            tx.insert_flow(user.id, kind, kind, params.challenge())
                .await?;
        }
        match change {
            None => {
                self.send_code(&tx, call, user, CodeMail::Confirmation, flow)
                    .await?;
            }
            Some(email) => {
                self.send_email_change(&tx, call, user, &email, flow)
                    .await?;
            }
        }
        tx.commit().await?;
        self.parts.outbox.wake();
        Ok(())
    }
}
