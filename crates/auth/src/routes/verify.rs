//! `GET` and `POST /verify`: a code or a link becomes a session.
//!
//! A token is found by its hash, or by its address, under a lock on its user,
//! and is gone once it was used: two who come with one token do not both get
//! in. `GET` ends in a redirect, with tokens behind the `#` or, in a flow with
//! a challenge, with a code that only the browser that began it can exchange.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::Deserialize;
use serde_json::json;

use crate::accounts;
use crate::codes::{PKCE_PREFIX, is_valid, token_hash};
use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::model::{Method, User};
use crate::redirect::{refused, told, with_query};
use crate::request::{Call, nullable};
use crate::room::Auth;
use crate::store::{Actor, NewSession, OneTime, Tx, UserPatch};
use crate::tokens::Issued;

const ACCEPTED: &str =
    "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// What is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verification {
    Signup,
    Invite,
    Recovery,
    MagicLink,
    EmailChange,
    /// A code by mail that may be of a sign-up or of a link.
    Email,
    Sms,
    PhoneChange,
}

impl Verification {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "signup" => Self::Signup,
            "invite" => Self::Invite,
            "recovery" => Self::Recovery,
            "magiclink" => Self::MagicLink,
            "email_change" => Self::EmailChange,
            "email" => Self::Email,
            "sms" => Self::Sms,
            "phone_change" => Self::PhoneChange,
            _ => return None,
        })
    }

    /// The tokens that may stand for it.
    fn tokens(self) -> &'static [OneTime] {
        match self {
            Self::Signup | Self::Invite | Self::Sms => &[OneTime::Confirmation],
            Self::Recovery | Self::MagicLink => &[OneTime::Recovery],
            Self::EmailChange => &[OneTime::EmailChangeCurrent, OneTime::EmailChangeNew],
            Self::Email => &[OneTime::Confirmation, OneTime::Recovery],
            Self::PhoneChange => &[OneTime::PhoneChange],
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    token: String,
    #[serde(deserialize_with = "nullable")]
    token_hash: String,
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
    #[serde(deserialize_with = "nullable")]
    redirect_to: String,
}

/// A user with the token that was shown.
struct Proven {
    user: User,
    kind: Verification,
    token: OneTime,
}

fn bad_link() -> AuthError {
    AuthError::forbidden(code::OTP_EXPIRED, "Email link is invalid or has expired")
}

fn bad_token() -> AuthError {
    AuthError::forbidden(code::OTP_EXPIRED, "Token has expired or is invalid")
}

pub(crate) async fn post(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::TokenVerifications, &call)?;
    let params: Params = call.json()?;
    let kind = kind(&params.kind)?;
    if params.token.is_empty() == params.token_hash.is_empty() {
        return Err(AuthError::invalid(
            "Verify requires either a token or a token hash",
        ));
    }
    let by_hash = !params.token_hash.is_empty();
    if by_hash
        && !(params.email.is_empty() && params.phone.is_empty() && params.redirect_to.is_empty())
    {
        return Err(AuthError::invalid(
            "Only the token_hash and type should be provided",
        ));
    }
    let tx = auth.store.begin().await?;
    let proven = if by_hash {
        let hash = params
            .token_hash
            .strip_prefix(PKCE_PREFIX)
            .unwrap_or(&params.token_hash);
        auth.by_hash(&tx, kind, hash).await?
    } else {
        auth.by_code(&tx, &call, kind, &params).await?
    };
    let Some(user) = auth.accept(&tx, proven).await? else {
        tx.commit().await?;
        let body = json!({"msg": ACCEPTED, "code": "200"});
        return Ok(json_response(StatusCode::OK, &body));
    };
    let session = NewSession::of(&call);
    let issued = auth.issue(&tx, user, Method::Otp, &session).await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    Ok(issued.response())
}

fn kind(text: &str) -> Result<Verification> {
    if text.is_empty() {
        return Err(AuthError::invalid("Verify requires a verification type"));
    }
    Verification::parse(text).ok_or_else(|| AuthError::invalid("Invalid email verification type"))
}

/// `HEAD`: mail scanners and previews look at links before people follow them.
pub(crate) async fn look() -> StatusCode {
    StatusCode::OK
}

/// A browser that fetches ahead says so (`Sec-Purpose: prefetch`).
fn is_ahead(call: &Call) -> bool {
    ["sec-purpose", "purpose", "x-moz", "x-purpose"]
        .into_iter()
        .filter_map(|name| call.header(name))
        .any(|purpose| purpose.contains("prefetch") || purpose.contains("preview"))
}

/// How a link ends.
enum Ending {
    Tokens(Box<Issued>),
    Code(String),
    HalfWay,
}

pub(crate) async fn get(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    if is_ahead(&call) {
        return Err(AuthError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::REQUEST_TIMEOUT,
            "This link is only for following",
        ));
    }
    auth.limit(Kind::TokenVerifications, &call)?;
    let text = call.asked("type").unwrap_or_default();
    let kind = kind(&text)?;
    let token = call.asked("token").or_else(|| call.asked("token_hash"));
    let token =
        token.ok_or_else(|| AuthError::invalid("Verify requires a token or a token hash"))?;
    let redirect_to = call.referrer(&auth);
    let (hash, pkce) = match token.strip_prefix(PKCE_PREFIX) {
        Some(hash) => (hash, true),
        None => (token.as_str(), false),
    };
    let location = match auth.follow(&call, kind, hash, pkce).await {
        Ok(Ending::Tokens(issued)) => issued.redirect(&redirect_to, &text),
        Ok(Ending::Code(code)) => with_query(&redirect_to, &[("code", &code)]),
        Ok(Ending::HalfWay) => told(&redirect_to, pkce, &[("message", ACCEPTED)]),
        Err(error) => {
            Auth::note(&error);
            refused(&redirect_to, pkce, &error)
        }
    };
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::try_from(location)
        .map_err(|_| AuthError::Internal("The redirect address cannot be a header"))?;
    response.headers_mut().insert(LOCATION, location);
    // Nobody on the way may keep what is behind the `#`.
    response.headers_mut().insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    Ok(response)
}

impl Auth {
    /// What a link leads to. `method` decides which flow its code belongs to.
    async fn follow(
        &self,
        call: &Call,
        kind: Verification,
        hash: &str,
        pkce: bool,
    ) -> Result<Ending> {
        let tx = self.store.begin().await?;
        let proven = self.by_hash(&tx, kind, hash).await?;
        // The mark is part of what was sent. Without it a flow with a
        // challenge would end in tokens for whoever has the link.
        let (stored, _) = proven.user.one_time(proven.token);
        if stored.starts_with(PKCE_PREFIX) != pkce {
            return Err(bad_link());
        }
        let Some(user) = self.accept(&tx, proven).await? else {
            tx.commit().await?;
            return Ok(Ending::HalfWay);
        };
        if pkce {
            let method = match kind {
                Verification::Signup | Verification::Email => "email/signup",
                Verification::Invite => "invite",
                Verification::Recovery => "recovery",
                Verification::EmailChange => "email_change",
                _ => "magiclink",
            };
            let flow = tx.latest_flow(user.id, method).await?;
            let code = flow
                .as_ref()
                .and_then(|flow| Some((flow.id, flow.auth_code.clone()?)));
            let Some((flow, code)) = code else {
                return Err(AuthError::bad_request(
                    code::FLOW_STATE_NOT_FOUND,
                    "No associated flow state found. No valid flow state found for user.",
                ));
            };
            tx.issue_flow_code(flow).await?;
            tx.commit().await?;
            return Ok(Ending::Code(code));
        }
        let session = NewSession::of(call);
        let issued = self.issue(&tx, user, Method::Otp, &session).await?;
        tx.commit().await?;
        self.parts.outbox.wake();
        Ok(Ending::Tokens(Box::new(issued)))
    }

    async fn by_hash(&self, tx: &Tx, kind: Verification, hash: &str) -> Result<Proven> {
        if matches!(kind, Verification::Sms | Verification::PhoneChange) {
            return Err(AuthError::invalid("Invalid email verification type"));
        }
        let user = tx
            .user_by_token(hash, kind.tokens())
            .await?
            .ok_or_else(bad_link)?;
        refuse_banned(&user, tx)?;
        let lifetime = self.config.mail.otp_lifetime;
        let token = kind.tokens().iter().copied().find(|token| {
            let (stored, sent) = user.one_time(*token);
            is_valid(hash, stored, sent, lifetime, tx.now)
        });
        let token = token.ok_or_else(bad_link)?;
        Ok(Proven {
            kind: resolved(kind, token),
            user,
            token,
        })
    }

    async fn by_code(
        &self,
        tx: &Tx,
        call: &Call,
        kind: Verification,
        params: &Params,
    ) -> Result<Proven> {
        let audience = call.audience(self);
        let (user, hash, lifetime) = match (params.email.is_empty(), params.phone.is_empty()) {
            (true, false) => {
                let phone = accounts::phone(&params.phone)?;
                let hash = token_hash(&phone, &params.token);
                let user = if kind == Verification::PhoneChange {
                    tx.user_by_phone_change(&phone, &audience).await?
                } else {
                    tx.user_by_phone(&phone, &audience).await?
                };
                if let Some(user) = self
                    .by_known_code(tx, kind, user.as_ref(), &phone, &params.token)
                    .await?
                {
                    return Ok(user);
                }
                (user, hash, self.config.phone.otp_lifetime)
            }
            (false, true) => {
                let email = accounts::email(&params.email).map_err(|_| {
                    AuthError::unprocessable(code::VALIDATION_FAILED, "Invalid email format")
                })?;
                let hash = token_hash(&email, &params.token);
                let user = if kind == Verification::EmailChange {
                    tx.user_by_token(&hash, kind.tokens()).await?
                } else {
                    tx.user_by_email(&email, &audience).await?
                };
                (user, hash, self.config.mail.otp_lifetime)
            }
            _ => {
                return Err(AuthError::invalid(
                    "Only an email address or phone number should be provided on verify",
                ));
            }
        };
        let user = user.ok_or_else(bad_token)?;
        let user = tx.user_for_update(user.id).await?.ok_or_else(bad_token)?;
        refuse_banned(&user, tx)?;
        let token = kind.tokens().iter().copied().find(|token| {
            let (stored, sent) = user.one_time(*token);
            is_valid(&hash, stored, sent, lifetime, tx.now)
        });
        let token = token.ok_or_else(bad_token)?;
        Ok(Proven {
            kind: resolved(kind, token),
            user,
            token,
        })
    }

    /// Numbers whose code the operator has set.
    async fn by_known_code(
        &self,
        tx: &Tx,
        kind: Verification,
        user: Option<&User>,
        phone: &str,
        code: &str,
    ) -> Result<Option<Proven>> {
        let known = self.config.phone.test_otps.get(phone, tx.now);
        let right = known.is_some_and(|known| crate::codes::equal(known, code));
        let Some(user) = user.filter(|_| right) else {
            return Ok(None);
        };
        refuse_banned(user, tx)?;
        let user = tx.user_for_update(user.id).await?.ok_or_else(bad_token)?;
        let token = kind
            .tokens()
            .first()
            .copied()
            .unwrap_or(OneTime::Confirmation);
        Ok(Some(Proven { user, kind, token }))
    }

    /// Does what was confirmed. None when another confirmation is to come.
    async fn accept(&self, tx: &Tx, proven: Proven) -> Result<Option<User>> {
        let Proven {
            mut user,
            kind,
            token,
        } = proven;
        match kind {
            Verification::Signup | Verification::Invite | Verification::Email => {
                self.accept_signup(tx, &mut user).await?;
            }
            Verification::Recovery | Verification::MagicLink => {
                let patch = UserPatch::new(tx.now).text("recovery_token", "");
                tx.patch(&user, patch).await?;
                tx.clear_one_time_tokens(user.id).await?;
                if user.is_confirmed() {
                    tx.audit(&Actor::user(&user), "login", None, "").await?;
                } else {
                    let traits = json!({"provider": "email"});
                    tx.audit(&Actor::user(&user), "user_signedup", Some(traits), "")
                        .await?;
                    tx.confirm(&mut user).await?;
                }
            }
            Verification::EmailChange => {
                if self.is_first_of_two(&user) {
                    first_of_two(tx, &user, token).await?;
                    return Ok(None);
                }
                tx.audit(&Actor::user(&user), "user_modified", None, "")
                    .await?;
                self.finish_email_change(tx, &mut user).await?;
            }
            Verification::Sms => {
                let traits = json!({"provider": "phone"});
                tx.audit(&Actor::user(&user), "user_signedup", Some(traits), "")
                    .await?;
                tx.confirm_phone(&mut user).await?;
                tx.end_anonymity(&mut user).await?;
            }
            Verification::PhoneChange => {
                tx.audit(&Actor::user(&user), "user_modified", None, "")
                    .await?;
                let phone = user.phone_change.clone();
                self.finish_phone_change(tx, &mut user, &phone).await?;
            }
        }
        tx.record_providers(&mut user).await?;
        tx.reload(&mut user).await?;
        Ok(Some(user))
    }

    async fn accept_signup(&self, tx: &Tx, user: &mut User) -> Result<()> {
        if !user.has_password() && user.invited_at.is_some() {
            // Invited people choose their password later.
            let hash = self.unknown_password_hash().await?;
            tx.set_password(user, Some(hash), None).await?;
        }
        let traits = json!({"provider": "email"});
        tx.audit(&Actor::user(user), "user_signedup", Some(traits), "")
            .await?;
        tx.confirm(user).await?;
        let same: Vec<_> = user
            .identities
            .iter()
            .filter(|identity| !user.email.is_empty() && identity.email == user.email)
            .map(|identity| identity.id)
            .collect();
        for identity in same {
            tx.merge_identity(identity, &json!({"email_verified": true}))
                .await?;
        }
        Ok(())
    }

    fn is_first_of_two(&self, user: &User) -> bool {
        let config = &self.config.mail;
        config.double_confirm
            && !config.autoconfirm
            && user.email_change_confirm_status == 0
            && !user.email.is_empty()
    }
}

/// One of two addresses has confirmed; the other's token stays.
async fn first_of_two(tx: &Tx, user: &User, token: OneTime) -> Result<()> {
    let column = match token {
        OneTime::EmailChangeCurrent => "email_change_token_current",
        _ => "email_change_token_new",
    };
    let patch = UserPatch::new(tx.now)
        .number("email_change_confirm_status", 1)
        .text(column, "");
    tx.patch(user, patch).await?;
    tx.clear_one_time_token(user.id, token).await
}

/// A code by mail is of a sign-up or of a link, as its token tells.
fn resolved(kind: Verification, token: OneTime) -> Verification {
    match (kind, token) {
        (Verification::Email, OneTime::Recovery) => Verification::MagicLink,
        (Verification::Email, _) => Verification::Signup,
        (kind, _) => kind,
    }
}

fn refuse_banned(user: &User, tx: &Tx) -> Result<()> {
    if user.is_banned(tx.now) {
        return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
    }
    Ok(())
}
