//! `/factors`: second factors enrolled, challenged, verified and given up by
//! their user. What a proof is worth is in `crate::factors`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use jiff::SignedDuration;
use kernel::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::accounts;
use crate::codes::{otp, token_hash};
use crate::error::{AuthError, Code, Result, code, json_response};
use crate::factors::{Shown, account, address, credential, may_add};
use crate::hook::{Point, Verdict};
use crate::limits::Kind;
use crate::mails::check_frequency;
use crate::model::{Factor, Session, User};
use crate::ports::Message;
use crate::request::{Call, SignedIn, nullable};
use crate::room::Auth;
use crate::routes::signup::channel;
use crate::store::{Actor, NewFactor, Tx};
use crate::totp::{TotpSecret, qr_svg};
use crate::webauthn::{Credential, Discoverable, Owner, RelyingParty};

/// As GoTrue's passkeys; its factors have no limit.
const NAME_BYTES_MAX: usize = 120;

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnrollParams {
    #[serde(deserialize_with = "nullable")]
    friendly_name: String,
    #[serde(deserialize_with = "nullable")]
    factor_type: String,
    #[serde(deserialize_with = "nullable")]
    issuer: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
}

fn session<'a>(who: &'a SignedIn, refusal: &'static str) -> Result<&'a Session> {
    who.session.as_ref().ok_or(AuthError::Internal(refusal))
}

fn require(enabled: bool, code: Code, refusal: &'static str) -> Result<()> {
    if enabled {
        return Ok(());
    }
    Err(AuthError::unprocessable(code, refusal))
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(AuthError::invalid(format!(
        "friendly_name must be {NAME_BYTES_MAX} characters or less"
    )))
}

pub(crate) async fn enroll(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    who.not_anonymous()?;
    session(
        &who,
        "A valid session and a registered user are required to enroll a factor",
    )?;
    let params: EnrollParams = call.json()?;
    check_name(&params.friendly_name)?;
    let mut new = auth.new_factor(&params, &who.user)?;
    let mut body = Map::new();
    if new.factor_type == "totp" {
        let app = auth.new_app(&mut new, &params, &who.user)?;
        body.insert("totp".to_owned(), app);
    }
    let tx = auth.store.begin().await?;
    let user = tx.user_for_update(who.user.id).await?;
    let mut user = user.ok_or(AuthError::Internal("Database error loading user"))?;
    if let Some(phone) = &new.phone {
        refuse_verified_phone(&user, phone)?;
        tx.delete_unverified_phone(user.id, phone).await?;
    }
    let lifetime = SignedDuration::try_from(auth.config.factors.unverified_lifetime);
    let before = lifetime.ok().and_then(|span| tx.now.checked_sub(span).ok());
    tx.clear_stale_factors(user.id, before.unwrap_or(tx.now))
        .await?;
    tx.reload(&mut user).await?;
    auth.check_enrolment(&user, &who, &params.friendly_name)?;
    new.id = tx.uuid();
    tx.insert_factor(&new).await?;
    let traits = json!({"factor_id": new.id.to_string(), "factor_type": new.factor_type});
    let actor = Actor::user(&user);
    tx.audit(
        &actor,
        "factor_in_progress",
        Some(traits),
        &call.address_text(),
    )
    .await?;
    tx.commit().await?;
    body.insert("id".to_owned(), new.id.to_string().into());
    body.insert("type".to_owned(), new.factor_type.into());
    body.insert("friendly_name".to_owned(), params.friendly_name.into());
    if new.phone.is_some() {
        body.insert("phone".to_owned(), params.phone.into());
    }
    Ok(json_response(StatusCode::OK, &Value::Object(body)))
}

fn refuse_verified_phone(user: &User, phone: &str) -> Result<()> {
    let same = |factor: &&Factor| factor.factor_type == "phone" && factor.phone == phone;
    if user.factors.iter().filter(same).any(Factor::is_verified) {
        return Err(AuthError::unprocessable(
            code::MFA_VERIFIED_FACTOR_EXISTS,
            "A verified phone factor already exists, unenroll the existing factor to continue",
        ));
    }
    Ok(())
}

impl Auth {
    fn new_factor(&self, params: &EnrollParams, user: &User) -> Result<NewFactor> {
        let settings = &self.config.factors;
        let mut new = NewFactor {
            user_id: user.id,
            friendly_name: params.friendly_name.clone(),
            ..NewFactor::default()
        };
        match params.factor_type.as_str() {
            "totp" => {
                let code = code::MFA_TOTP_ENROLL_NOT_ENABLED;
                require(
                    settings.totp_enroll,
                    code,
                    "MFA enroll is disabled for TOTP",
                )?;
                new.factor_type = "totp";
            }
            "phone" => {
                let code = code::MFA_PHONE_ENROLL_NOT_ENABLED;
                require(
                    settings.phone_enroll,
                    code,
                    "MFA enroll is disabled for Phone",
                )?;
                if params.phone.is_empty() {
                    return Err(AuthError::invalid(
                        "Phone number required to enroll Phone factor",
                    ));
                }
                new.factor_type = "phone";
                new.phone = Some(accounts::phone(&params.phone)?);
            }
            "webauthn" => {
                let code = code::MFA_WEBAUTHN_ENROLL_NOT_ENABLED;
                let enabled = settings.web_authn_enroll;
                require(enabled, code, "MFA enroll is disabled for WebAuthn")?;
                new.factor_type = "webauthn";
            }
            _ => {
                return Err(AuthError::invalid(
                    "factor_type needs to be totp, phone, or webauthn",
                ));
            }
        }
        Ok(new)
    }

    /// A secret and how an app is told.
    fn new_app(&self, new: &mut NewFactor, params: &EnrollParams, user: &User) -> Result<Value> {
        let site = url::Url::parse(&self.config.site_url).ok();
        let host = site
            .as_ref()
            .map(|site| site[url::Position::BeforeHost..url::Position::AfterPort].to_owned());
        let issuer = match params.issuer.as_str() {
            "" => host.unwrap_or_default(),
            issuer => issuer.to_owned(),
        };
        let id = user.id.to_string();
        let names = [user.email.as_str(), user.phone.as_str(), id.as_str()];
        let name = names.into_iter().find(|name| !name.is_empty());
        let secret = TotpSecret::generate(&self.rng);
        let uri = secret.uri(&issuer, name.unwrap_or_default());
        let picture = qr_svg(&uri);
        let picture = picture.ok_or_else(|| AuthError::invalid("The issuer is too long"))?;
        let text = secret.to_base32();
        new.secret = Some(text.clone());
        Ok(json!({"qr_code": picture, "secret": text, "uri": uri}))
    }

    fn check_enrolment(&self, user: &User, who: &SignedIn, name: &str) -> Result<()> {
        let settings = &self.config.factors;
        let enrolled = &user.factors;
        if enrolled.iter().any(|factor| factor.friendly_name == name) {
            return Err(AuthError::unprocessable(
                code::MFA_FACTOR_NAME_CONFLICT,
                format!("A factor with the friendly name {name:?} for this user already exists"),
            ));
        }
        let verified = enrolled
            .iter()
            .filter(|factor| factor.is_verified())
            .count();
        let full = |count: usize, most: u64| u64::try_from(count).unwrap_or(u64::MAX) >= most;
        if full(enrolled.len(), settings.max_enrolled) || full(verified, settings.max_verified) {
            return Err(AuthError::unprocessable(
                code::TOO_MANY_ENROLLED_MFA_FACTORS,
                "Maximum number of verified factors reached, unenroll to continue",
            ));
        }
        may_add(user, who, "AAL2 required to enroll a new factor")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChallengeParams {
    #[serde(deserialize_with = "nullable")]
    channel: String,
}

pub(crate) async fn challenge(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    who.not_anonymous()?;
    auth.limit(Kind::MfaVerify, &call)?;
    let params: ChallengeParams = if call.body.is_empty() {
        ChallengeParams::default()
    } else {
        call.json()?
    };
    let tx = auth.store.begin().await?;
    let (user, factor) = auth.factor(&tx, &who, &id).await?;
    if !factor.is_verified() {
        may_add(&user, &who, "AAL2 required to verify a new factor")?;
    }
    let settings = &auth.config.factors;
    let mut body = Map::new();
    let (mut code_hash, mut ceremony, mut message) = (None, None, None);
    match factor.factor_type.as_str() {
        "phone" => {
            let code = code::MFA_PHONE_VERIFY_NOT_ENABLED;
            let enabled = settings.phone_verify;
            require(enabled, code, "MFA verification is disabled for Phone")?;
            channel(&params.channel)?;
            let (hash, unsent) = auth.factor_code(&tx, &user, &factor)?;
            code_hash = Some(hash);
            message = Some(unsent);
        }
        "webauthn" => {
            let code = code::MFA_WEBAUTHN_VERIFY_NOT_ENABLED;
            let enabled = settings.web_authn_verify;
            require(enabled, code, "MFA verification is disabled for WebAuthn")?;
            let (kind, options, asked) = auth.question(&user, &factor)?;
            let options = json!({"type": kind, "credential_options": {"publicKey": options}});
            body.insert("webauthn".to_owned(), options);
            ceremony = Some(asked);
        }
        _ => {
            let code = code::MFA_TOTP_VERIFY_NOT_ENABLED;
            let enabled = settings.totp_verify;
            require(enabled, code, "MFA verification is disabled for TOTP")?;
        }
    }
    let from = address(&call);
    let challenge = tx
        .insert_challenge(factor.id, from, code_hash, ceremony.as_ref())
        .await?;
    let traits = json!({"factor_id": factor.id.to_string(), "factor_status": factor.status});
    let actor = Actor::user(&user);
    tx.audit(
        &actor,
        "challenge_created",
        Some(traits),
        &call.address_text(),
    )
    .await?;
    let now = tx.now;
    tx.commit().await?;
    // Whoever carries messages may be slow: nothing is locked meanwhile.
    if let Some(message) = message {
        auth.parts.messenger.send(&message).await?;
    }
    let seconds = i64::try_from(settings.challenge_lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires_at = now.as_second().saturating_add(seconds);
    body.insert("id".to_owned(), challenge.to_string().into());
    body.insert("type".to_owned(), factor.factor_type.into());
    body.insert("expires_at".to_owned(), expires_at.into());
    Ok(json_response(StatusCode::OK, &Value::Object(body)))
}

impl Auth {
    /// A code for a phone: its hash, and the message.
    fn factor_code(&self, tx: &Tx, user: &User, factor: &Factor) -> Result<(String, Message)> {
        let settings = &self.config.factors;
        check_frequency(
            factor.last_challenged_at,
            settings.phone_max_frequency,
            tx.now,
            code::OVER_SMS_SEND_RATE_LIMIT,
        )?;
        if self.limits.check_all(Kind::SmsSent).is_err() {
            return Err(AuthError::too_many(
                code::OVER_SMS_SEND_RATE_LIMIT,
                "SMS rate limit exceeded",
            ));
        }
        let otp = otp(&self.rng, settings.phone_otp_length);
        let hash = token_hash(&factor.phone, &otp);
        if !self.parts.hooks.has(Point::SendSms) {
            return Err(AuthError::Internal("Unable to get SMS provider"));
        }
        let text = settings
            .phone_template
            .replace("{{ .Code }}", &otp)
            .replace("{{.Code}}", &otp);
        let message = Message {
            phone: factor.phone.clone(),
            // As hooks are told what a message is for.
            channel: "mfa".to_owned(),
            otp: Secret::new(otp),
            text: Secret::new(text),
            user: user.document(),
        };
        Ok((hash, message))
    }

    /// What an authenticator is asked: to make a credential, or to show the
    /// one that the factor is. Returns which, the options and what is kept.
    fn question(&self, user: &User, factor: &Factor) -> Result<(&'static str, Value, Value)> {
        let party = RelyingParty::of(&self.config);
        let owner = Owner {
            id: user.id.to_string(),
            name: &user.email,
            display_name: &user.email,
        };
        let (kind, (options, asked)) = if factor.is_verified() {
            let known = credential(factor)
                .ok_or(AuthError::Internal("Database error reading a credential"))?;
            let question = party.request(&self.rng, Some(&owner), &[known]);
            ("request", question)
        } else {
            let known: Vec<Credential> = user.factors.iter().filter_map(credential).collect();
            let question = party.creation(&self.rng, &owner, &known, Discoverable::Any);
            ("create", question)
        };
        Ok((kind, options, json!(asked)))
    }
}

pub(crate) async fn verify(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    who.not_anonymous()?;
    auth.limit(Kind::MfaVerify, &call)?;
    let shown: Shown = call.json()?;
    let present = session(&who, "A valid session is required to verify a factor")?;
    let mut tx = auth.store.begin().await?;
    let mut examined = auth.examine(&tx, (&who, &id), &call, &shown).await?;
    let (account, from) = (account(examined.factor.id), address(&call));
    // Right or wrong: otherwise the refusal would tell which it was.
    if auth.limits.check_account(&account, from).is_err() {
        return Err(AuthError::too_many(
            code::OVER_REQUEST_RATE_LIMIT,
            "Request rate limit reached",
        ));
    }
    if auth.config.hooks.mfa_verification_attempt.is_some()
        && examined.factor.factor_type != "webauthn"
    {
        // What the hook writes stays, whatever becomes of this attempt; and
        // since nothing is locked meanwhile, the attempt is judged once more.
        drop(tx);
        asked(
            &auth,
            &call,
            &examined.user,
            &examined.factor,
            examined.is_right(),
        )
        .await?;
        tx = auth.store.begin().await?;
        examined = auth.examine(&tx, (&who, &id), &call, &shown).await?;
    }
    if !examined.is_right() {
        auth.limits.failed(&account, from);
        let message = match examined.factor.factor_type.as_str() {
            "phone" => "Invalid MFA Phone code entered",
            "webauthn" => "Failed to validate WebAuthn MFA response",
            _ => "Invalid TOTP code entered",
        };
        return Err(AuthError::unprocessable(
            code::MFA_VERIFICATION_FAILED,
            message,
        ));
    }
    let issued = auth.honour(&tx, present, examined, &shown).await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    auth.limits.succeeded(&account, from);
    Ok(issued.response())
}

/// Tells the project's hook what was tried. A refusal ends the user's sessions.
async fn asked(auth: &Auth, call: &Call, user: &User, factor: &Factor, valid: bool) -> Result<()> {
    let (user_id, factor_id) = (user.id.to_string(), factor.id.to_string());
    let tried = (&*user_id, &*factor_id, &*factor.factor_type);
    let ip = call.address_text();
    let hooks = &auth.parts.hooks;
    let verdict = Box::pin(hooks.mfa_verification(tried, valid, &ip)).await?;
    let Verdict::Reject(decision) = verdict else {
        return Ok(());
    };
    let tx = auth.store.begin().await?;
    tx.end_sessions(user.id).await?;
    tx.commit().await?;
    Err(AuthError::forbidden(
        code::MFA_VERIFICATION_REJECTED,
        decision.message,
    ))
}

pub(crate) async fn unenroll(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    who.not_anonymous()?;
    let present = session(
        &who,
        "A valid session and factor are required to unenroll a factor",
    )?;
    let tx = auth.store.begin().await?;
    let (user, factor) = auth.factor(&tx, &who, &id).await?;
    if factor.is_verified() && !who.is_aal2() {
        return Err(AuthError::unprocessable(
            code::INSUFFICIENT_AAL,
            "AAL2 required to unenroll verified factor",
        ));
    }
    tx.delete_factor(&factor).await?;
    let traits = json!({
        "factor_id": factor.id.to_string(),
        "factor_status": factor.status,
        "session_id": present.id.to_string(),
    });
    let actor = Actor::user(&user);
    tx.audit(
        &actor,
        "factor_unenrolled",
        Some(traits),
        &call.address_text(),
    )
    .await?;
    let to = user.email.clone();
    let more = [("FactorType", factor.factor_type.as_str())];
    auth.notify(&tx, &user, &to, "mfa_factor_unenrolled_notification", &more)
        .await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    Ok(answered(factor.id))
}

fn answered(id: Uuid) -> Response {
    json_response(StatusCode::OK, &json!({"id": id.to_string()}))
}
