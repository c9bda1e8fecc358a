//! `POST /signup`: by e-mail, by phone, or as nobody in particular.
//!
//! Who asks must not learn who has an account: an address that is taken is
//! answered as one that is not (unless sign-ups are confirmed at once, when
//! nothing could hide it), and a password is hashed in both cases. What GoTrue
//! leaves for those who look closely, an empty list of identities, the same id
//! twice, a refusal to write again so soon, is gone with `hide_accounts`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::accounts;
use crate::codes::check_challenge;
use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::mails::{CodeMail, Flow};
use crate::model::{Identity, Method, User, own_identity_data};
use crate::request::{Call, Data, nullable};
use crate::room::Auth;
use crate::store::{Actor, NewSession, NewUser, OneTime, Tx};

/// What a sign-up may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Params {
    #[serde(deserialize_with = "nullable")]
    pub(crate) email: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) phone: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) password: String,
    pub(crate) data: Data,
    #[serde(deserialize_with = "nullable")]
    pub(crate) channel: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) code_challenge: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) code_challenge_method: String,
}

/// Which of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Email,
    Phone,
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// What came of a sign-up.
pub(crate) enum SignedUp {
    /// The account is there; it may have to be confirmed.
    New(Box<User>),
    /// The address is taken, and its owner has confirmed it or is not to be
    /// told from one who has.
    Taken(Box<User>),
}

pub(crate) async fn signup(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.require_human(&call).await?;
    let params: Params = call.json()?;
    if params.email.is_empty() && params.phone.is_empty() {
        return anonymous(&auth, &call, params).await;
    }
    auth.limit(Kind::SignInSignUps, &call)?;
    let data = params.data.clone().unwrap_or_default();
    let by = if params.email.is_empty() {
        By::Phone
    } else {
        By::Email
    };
    let audience = call.audience(&auth);
    match auth.sign_up(&call, params, &audience).await? {
        SignedUp::New(user) => welcome(&auth, &call, *user, by).await,
        SignedUp::Taken(_) if auth.config.mail.autoconfirm || auth.config.phone.autoconfirm => Err(
            AuthError::unprocessable(code::USER_ALREADY_EXISTS, "User already registered"),
        ),
        SignedUp::Taken(user) => {
            let body = likeness(&auth, *user, by, data).document();
            Ok(json_response(StatusCode::OK, &body))
        }
    }
}

/// The answer to a sign-up that made, or found, an account that is not
/// confirmed yet.
async fn welcome(auth: &Auth, call: &Call, mut user: User, by: By) -> Result<Response> {
    if user.is_confirmed() || user.is_phone_confirmed() {
        let tx = auth.store.begin().await?;
        let traits = json!({"provider": by.as_str()});
        tx.audit(&Actor::user(&user), "login", Some(traits), "")
            .await?;
        let session = NewSession::of(call);
        let issued = auth.issue(&tx, user, Method::Password, &session).await?;
        tx.commit().await?;
        return Ok(issued.response());
    }
    if user.invited_at.is_some() {
        user.user_metadata.clear();
        user.identities.clear();
    }
    Ok(json_response(StatusCode::OK, &user.document()))
}

async fn anonymous(auth: &Auth, call: &Call, params: Params) -> Result<Response> {
    if !auth.config.anonymous_enabled {
        return Err(AuthError::unprocessable(
            code::ANONYMOUS_PROVIDER_DISABLED,
            "Anonymous sign-ins are disabled",
        ));
    }
    auth.limit(Kind::AnonymousUsers, call)?;
    refuse_closed(auth)?;
    let new = auth.new_user(&call.audience(auth), None, params.data.unwrap_or_default());
    auth.before_user_created(&preview(&new), call).await?;
    let tx = auth.store.begin().await?;
    let user = tx.insert_user(&new).await?;
    let session = NewSession::of(call);
    let issued = auth.issue(&tx, user, Method::Anonymous, &session).await?;
    tx.commit().await?;
    auth.after_user_created(&issued.user.document(), call)
        .await?;
    Ok(issued.response())
}

/// Gives an account the identity that it begins with.
async fn identify(
    tx: &Tx,
    user: &mut User,
    by: By,
    address: &str,
    data: Map<String, serde_json::Value>,
) -> Result<()> {
    let mut identity = own_identity_data(user.id, by.as_str(), address, false);
    for (name, value) in data {
        identity.entry(name).or_insert(value);
    }
    tx.insert_identity(user, by.as_str(), identity.clone())
        .await?;
    tx.start_over(user, &identity).await
}

fn is_too_soon(error: &AuthError) -> bool {
    let codes = [
        code::OVER_EMAIL_SEND_RATE_LIMIT,
        code::OVER_SMS_SEND_RATE_LIMIT,
    ];
    matches!(error, AuthError::Refused { code, .. } if codes.contains(code))
}

fn refuse_closed(auth: &Auth) -> Result<()> {
    if auth.config.signup_disabled {
        return Err(AuthError::unprocessable(
            code::SIGNUP_DISABLED,
            "Signups not allowed for this instance",
        ));
    }
    Ok(())
}

/// A user to be, as hooks see it.
pub(crate) fn preview(new: &NewUser) -> serde_json::Value {
    json!({
        "id": new.id.to_string(),
        "aud": new.aud,
        "role": "",
        "email": new.email,
        "phone": new.phone,
        "app_metadata": new.app_metadata,
        "user_metadata": new.user_metadata,
        "identities": [],
        "is_anonymous": new.is_anonymous,
    })
}

/// What somebody sees who signs up with an address that is taken: an account
/// like any new one, which does not exist.
fn likeness(auth: &Auth, mut user: User, by: By, data: Map<String, serde_json::Value>) -> User {
    let now = Some(auth.clock.now());
    let new = auth.new_user(&user.aud, Some(by.as_str()), data);
    user.id = new.id;
    user.role.clear();
    user.email_change.clear();
    user.phone_change.clear();
    (user.created_at, user.updated_at, user.confirmation_sent_at) = (now, now, now);
    user.last_sign_in_at = None;
    user.confirmed_at = None;
    user.email_confirmed_at = None;
    user.phone_confirmed_at = None;
    user.email_change_sent_at = None;
    user.phone_change_sent_at = None;
    user.recovery_sent_at = None;
    user.reauthentication_sent_at = None;
    user.invited_at = None;
    user.banned_until = None;
    user.factors.clear();
    user.app_metadata = new.app_metadata;
    let address = match by {
        By::Email => {
            user.phone.clear();
            &user.email
        }
        By::Phone => {
            user.email.clear();
            &user.phone
        }
    };
    // What a new account's identity would have put there.
    user.user_metadata = own_identity_data(new.id, by.as_str(), address, false);
    for (name, value) in new.user_metadata {
        user.user_metadata.entry(name).or_insert(value);
    }
    user.identities.clear();
    if auth.config.hide_accounts {
        user.identities.push(Identity {
            id: auth.rng.uuid(),
            provider_id: new.id.to_string(),
            user_id: new.id,
            identity_data: user.user_metadata.clone(),
            provider: by.as_str().to_owned(),
            last_sign_in_at: now,
            created_at: now,
            updated_at: now,
            email: user.email.clone(),
        });
    }
    user
}

impl Auth {
    /// Makes an account, or finds the one that is there, and sends what
    /// confirms it.
    pub(crate) async fn sign_up(
        &self,
        call: &Call,
        params: Params,
        audience: &str,
    ) -> Result<SignedUp> {
        refuse_closed(self)?;
        let (by, address) = self.check_sign_up(&params).await?;
        // Before looking: a taken address must cost the same.
        let hash = self.hash(&params.password).await?;
        let data = params.data.clone().unwrap_or_default();
        let existing = match by {
            By::Email => self.store.duplicate_email(&address, audience, None).await?,
            By::Phone => self.store.user_by_phone(&address, audience).await?,
        };
        let mut new = self.new_user(audience, Some(by.as_str()), data.clone());
        new.password_hash = Some(hash);
        match by {
            By::Email => new.email.clone_from(&address),
            By::Phone => new.phone.clone_from(&address),
        }
        let made = existing.is_none();
        if made {
            self.before_user_created(&preview(&new), call).await?;
        }
        let tx = self.store.begin().await?;
        let confirmed = |user: &User| match by {
            By::Email => user.is_confirmed(),
            By::Phone => user.is_phone_confirmed(),
        };
        let mut user = match existing {
            Some(user) if confirmed(&user) => {
                let traits = json!({"provider": by.as_str()});
                tx.audit(
                    &Actor::user(&user),
                    "user_repeated_signup",
                    Some(traits),
                    "",
                )
                .await?;
                tx.commit().await?;
                return Ok(SignedUp::Taken(Box::new(user)));
            }
            // Nobody has shown that the account is theirs: its password stays.
            Some(user) => user,
            None => tx.insert_user(&new).await?,
        };
        if user.own_identity(by.as_str()).is_none() {
            identify(&tx, &mut user, by, &address, data).await?;
        }
        let likely = user.clone();
        let asked = match by {
            By::Email => self.confirm_email(&tx, call, &mut user, &params).await,
            By::Phone => self.confirm_phone(&tx, &mut user, &address, &params).await,
        };
        let hidden = self.config.hide_accounts && !made && !confirmed(&user);
        match asked {
            // Nothing was kept of it: the code of before still counts.
            Err(error) if hidden && is_too_soon(&error) => {
                return Ok(SignedUp::Taken(Box::new(likely)));
            }
            asked => asked?,
        }
        tx.reload(&mut user).await?;
        tx.commit().await?;
        self.parts.outbox.wake();
        if hidden {
            return Ok(SignedUp::Taken(Box::new(likely)));
        }
        if made {
            self.after_user_created(&user.document(), call).await?;
        }
        Ok(SignedUp::New(Box::new(user)))
    }

    async fn confirm_email(
        &self,
        tx: &Tx,
        call: &Call,
        user: &mut User,
        params: &Params,
    ) -> Result<()> {
        let traits = Some(json!({"provider": "email"}));
        if self.config.mail.autoconfirm {
            tx.audit(&Actor::user(user), "user_signedup", traits, "")
                .await?;
            return tx.confirm(user).await;
        }
        tx.audit(
            &Actor::user(user),
            "user_confirmation_requested",
            traits,
            "",
        )
        .await?;
        let flow = Flow::of(&params.code_challenge);
        if flow == Flow::Pkce {
            let challenge = (
                params.code_challenge.as_str(),
                params.code_challenge_method.as_str(),
            );
            tx.insert_flow(user.id, "email", "email/signup", challenge)
                .await?;
        }
        self.send_code(tx, call, user, CodeMail::Confirmation, flow)
            .await
    }

    async fn confirm_phone(
        &self,
        tx: &Tx,
        user: &mut User,
        phone: &str,
        params: &Params,
    ) -> Result<()> {
        let traits = Some(json!({"provider": "phone", "channel": params.channel}));
        if self.config.phone.autoconfirm {
            tx.audit(&Actor::user(user), "user_signedup", traits, "")
                .await?;
            return tx.confirm_phone(user).await;
        }
        tx.audit(
            &Actor::user(user),
            "user_confirmation_requested",
            traits,
            "",
        )
        .await?;
        let channel = channel(&params.channel)?;
        self.send_phone_code(tx, user, phone, OneTime::Confirmation, channel)
            .await?;
        Ok(())
    }

    /// Everything that can be refused without a look at the database.
    async fn check_sign_up(&self, params: &Params) -> Result<(By, String)> {
        if params.password.is_empty() {
            return Err(AuthError::invalid("Signup requires a valid password"));
        }
        self.check_password(&params.password).await?;
        if !params.email.is_empty() && !params.phone.is_empty() {
            return Err(AuthError::invalid(
                "Only an email address or phone number should be provided on signup.",
            ));
        }
        if params.email.is_empty() {
            channel(&params.channel)?;
            if !params.code_challenge.is_empty() {
                return Err(AuthError::invalid("PKCE not supported for phone signups"));
            }
        }
        check_challenge(&params.code_challenge, &params.code_challenge_method)?;
        if params.email.is_empty() {
            if !self.config.phone.enabled {
                return Err(AuthError::bad_request(
                    code::PHONE_PROVIDER_DISABLED,
                    "Phone signups are disabled",
                ));
            }
            return Ok((By::Phone, accounts::phone(&params.phone)?));
        }
        if !self.config.mail.enabled {
            return Err(AuthError::bad_request(
                code::EMAIL_PROVIDER_DISABLED,
                "Email signups are disabled",
            ));
        }
        Ok((By::Email, accounts::email(&params.email)?))
    }
}

/// How a message travels; `sms` when nothing is said.
pub(crate) fn channel(text: &str) -> Result<&'static str> {
    match text {
        "" | "sms" => Ok("sms"),
        "whatsapp" => Ok("whatsapp"),
        _ => Err(AuthError::invalid(
            "Invalid channel, supported values are 'sms' or 'whatsapp'. 'whatsapp' is only supported if Twilio or Twilio Verify is used as the provider.",
        )),
    }
}
