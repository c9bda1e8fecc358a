//! `/passkeys`: signing in with an authenticator alone, which knows whose it
//! is. A passkey wins a session of level one: a user with a second factor
//! still has to show that.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{AuthError, Code, Result, code, json_response};
use crate::limits::Kind;
use crate::model::{Method, User};
use crate::request::{Admin, Call, SignedIn, nullable};
use crate::room::Auth;
use crate::routes::admin_users::named;
use crate::routes::factors::check_name;
use crate::store::{Actor, NewSession, Passkey, PasskeyChallenge, Tx};
use crate::webauthn::{Assertion, Ceremony, Credential, Discoverable, Owner, RelyingParty};

const REGISTRATION: &str = "registration";
const AUTHENTICATION: &str = "authentication";

fn require_enabled(auth: &Auth) -> Result<()> {
    if auth.config.passkeys.enabled {
        return Ok(());
    }
    Err(AuthError::not_found(
        code::PASSKEY_DISABLED,
        "Passkeys are disabled",
    ))
}

/// A passkey opens the door as a password does: whoever has a second factor
/// shows it before one is added or taken away.
fn require_level(who: &SignedIn, user: &User) -> Result<()> {
    if user.has_mfa() && !who.is_aal2() {
        return Err(AuthError::forbidden(
            code::INSUFFICIENT_AAL,
            "AAL2 session is required to manage passkeys when MFA is enabled",
        ));
    }
    Ok(())
}

fn may_register(auth: &Auth, who: &SignedIn) -> Result<()> {
    require_enabled(auth)?;
    who.not_anonymous()?;
    if who.user.is_sso_user {
        return Err(AuthError::unprocessable(
            code::VALIDATION_FAILED,
            "SSO users cannot register passkeys",
        ));
    }
    require_level(who, &who.user)
}

fn refuse_too_many(auth: &Auth, count: usize) -> Result<()> {
    if u64::try_from(count).unwrap_or(u64::MAX) < auth.config.passkeys.max_per_user {
        return Ok(());
    }
    Err(AuthError::unprocessable(
        code::TOO_MANY_PASSKEYS,
        "Maximum number of passkeys reached",
    ))
}

/// What a question and its answer have in common.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "nullable")]
    challenge_id: String,
    credential: Option<Value>,
}

impl Answer {
    fn of(call: &Call) -> Result<(Uuid, Value)> {
        let answer: Self = call.json()?;
        if answer.challenge_id.is_empty() {
            return Err(AuthError::invalid("challenge_id is required"));
        }
        let credential = answer.credential;
        let credential = credential.ok_or_else(|| AuthError::invalid("credential is required"))?;
        let id = Uuid::parse_str(&answer.challenge_id)
            .map_err(|_| AuthError::invalid("challenge_id must be a valid UUID"))?;
        Ok((id, credential))
    }
}

fn refused(message: &'static str) -> AuthError {
    AuthError::bad_request(code::WEBAUTHN_VERIFICATION_FAILED, message)
}

fn read<T: DeserializeOwned>(credential: Value) -> Result<T> {
    serde_json::from_value(credential).map_err(|_| refused("Invalid credential response"))
}

impl Auth {
    /// Until when a question waits.
    fn passkey_expiry(&self, now: Timestamp) -> Timestamp {
        let lifetime = self.config.passkeys.challenge_lifetime;
        now.checked_add(lifetime).unwrap_or(now)
    }

    async fn ask_passkey(
        &self,
        tx: Tx,
        user: Option<Uuid>,
        kind: &'static str,
        (options, ceremony): (Value, Ceremony),
    ) -> Result<Response> {
        let expires_at = self.passkey_expiry(tx.now);
        let id = tx
            .insert_passkey_challenge(user, kind, &json!(ceremony), expires_at)
            .await?;
        tx.commit().await?;
        let body = json!({
            "challenge_id": id.to_string(),
            "options": options,
            "expires_at": expires_at.as_second(),
        });
        Ok(json_response(StatusCode::OK, &body))
    }

    /// Takes the question away before the answer is looked at: an answer that
    /// is wrong has used it up, too.
    async fn take(&self, id: Uuid, kind: &'static str, user: Option<Uuid>) -> Result<Ceremony> {
        let refused = |code: Code, message: &'static str| AuthError::bad_request(code, message);
        let tx = self.store.begin().await?;
        let found = tx.take_passkey_challenge(id, kind, user).await?;
        let now = tx.now;
        tx.commit().await?;
        let PasskeyChallenge {
            session_data,
            expires_at,
        } = found.ok_or_else(|| {
            refused(
                code::WEBAUTHN_CHALLENGE_NOT_FOUND,
                "Challenge not found or already used",
            )
        })?;
        if now > expires_at {
            return Err(refused(
                code::WEBAUTHN_CHALLENGE_EXPIRED,
                "Challenge has expired",
            ));
        }
        serde_json::from_value(session_data)
            .map_err(|_| AuthError::Internal("Database error reading a challenge"))
    }
}

pub(crate) async fn begin_registration(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    _: Call,
) -> Result<Response> {
    may_register(&auth, &who)?;
    let tx = auth.store.begin().await?;
    let user = &who.user;
    let known = tx.passkeys(user.id).await?;
    refuse_too_many(&auth, known.len())?;
    let name = if user.email.is_empty() {
        &user.phone
    } else {
        &user.email
    };
    let display_name = user.user_metadata.get("name").and_then(Value::as_str);
    let display_name = display_name.filter(|name| !name.is_empty());
    let owner = Owner {
        id: user.id.to_string(),
        name,
        display_name: display_name.unwrap_or(name),
    };
    let known: Vec<Credential> = known.iter().map(Passkey::credential).collect();
    let party = RelyingParty::of(&auth.config);
    let question = party.creation(&auth.rng, &owner, &known, Discoverable::Required);
    auth.ask_passkey(tx, Some(user.id), REGISTRATION, question)
        .await
}

pub(crate) async fn register(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    may_register(&auth, &who)?;
    let (id, credential) = Answer::of(&call)?;
    let ceremony = auth.take(id, REGISTRATION, Some(who.user.id)).await?;
    let answer = read(credential)?;
    let made = RelyingParty::of(&auth.config).register(&ceremony, &answer);
    let made = made.map_err(|reason| {
        tracing::debug!(%reason, "A passkey was refused");
        refused("Credential verification failed")
    })?;
    let tx = auth.store.begin().await?;
    // Locked, so that the limit holds for those that come at once.
    let user = tx.user_for_update(who.user.id).await?;
    let user = user.ok_or(AuthError::Internal("Database error loading user"))?;
    require_level(&who, &user)?;
    refuse_too_many(&auth, tx.passkeys(user.id).await?.len())?;
    let passkey = tx.insert_passkey(user.id, &made, name_of(&made)).await?;
    let passkey = passkey.ok_or_else(|| {
        AuthError::unprocessable(
            code::WEBAUTHN_CREDENTIAL_EXISTS,
            "This credential is already registered",
        )
    })?;
    let traits = json!({"passkey_id": passkey.id.to_string()});
    let actor = Actor::user(&user);
    tx.audit(
        &actor,
        "passkey_created",
        Some(traits),
        &call.address_text(),
    )
    .await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &passkey.document()))
}

/// Authenticators that people know by name. An authenticator says itself which
/// it is, so this is a label and no more.
fn name_of(credential: &Credential) -> &'static str {
    const KNOWN: [(&str, &str); 12] = [
        ("fbfc3007-154e-4ecc-8c0b-6e020557d7bd", "Apple Passwords"),
        (
            "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
            "Google Password Manager",
        ),
        ("adce0002-35bc-c60a-648b-0b25f1f05503", "Chrome on Mac"),
        ("08987058-cadc-4b81-b6e1-30de50dcbe96", "Windows Hello"),
        ("9ddd1817-af5a-4672-a2b9-3e3dd95000a9", "Windows Hello"),
        ("6028b017-b1d4-4c02-b4b3-afcdafc96bb2", "Windows Hello"),
        ("53414d53-554e-4700-0000-000000000000", "Samsung Pass"),
        ("bada5566-a7aa-401f-bd96-45619a55120d", "1Password"),
        ("d548826e-79b4-db40-a3d8-11116f7e8349", "Bitwarden"),
        ("531126d6-e717-415c-9320-3d9aa6981239", "Dashlane"),
        ("fdb141b2-5d84-443e-8a35-4698c205a502", "KeePassXC"),
        ("50726f74-6f6e-5061-7373-50726f746f6e", "Proton Pass"),
    ];
    let id = credential.aaguid().map(|id| id.to_string());
    let found = KNOWN
        .iter()
        .find(|(known, _)| Some(*known) == id.as_deref());
    found.map_or("Passkey", |(_, name)| name)
}

pub(crate) async fn begin_authentication(
    State(auth): State<Arc<Auth>>,
    call: Call,
) -> Result<Response> {
    require_enabled(&auth)?;
    auth.limit(Kind::SignInSignUps, &call)?;
    auth.require_human(&call).await?;
    let tx = auth.store.begin().await?;
    // Whoever it is, the authenticator knows.
    let question = RelyingParty::of(&auth.config).request(&auth.rng, None, &[]);
    auth.ask_passkey(tx, None, AUTHENTICATION, question).await
}

pub(crate) async fn authenticate(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    require_enabled(&auth)?;
    auth.limit(Kind::TokenVerifications, &call)?;
    let (id, credential) = Answer::of(&call)?;
    let ceremony = auth.take(id, AUTHENTICATION, None).await?;
    let answer: Assertion = read(credential)?;
    let tx = auth.store.begin().await?;
    let (user, passkey) = owner(&auth, &tx, &ceremony, &answer).await?;
    if !user.email.is_empty() && !user.is_confirmed() {
        let message = "Email not confirmed";
        return Err(AuthError::forbidden(code::EMAIL_NOT_CONFIRMED, message));
    }
    if !user.phone.is_empty() && !user.is_phone_confirmed() {
        let message = "Phone not confirmed";
        return Err(AuthError::forbidden(code::PHONE_NOT_CONFIRMED, message));
    }
    if user.is_banned(tx.now) {
        return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
    }
    let traits = json!({"passkey_id": passkey.to_string()});
    let from = call.address_text();
    tx.audit(&Actor::user(&user), "login", Some(traits), &from)
        .await?;
    let session = NewSession::of(&call);
    let issued = auth.issue(&tx, user, Method::Passkey, &session).await?;
    tx.commit().await?;
    Ok(issued.response())
}

/// Whose passkey it is that was shown. Nobody, an unknown one and a wrong
/// answer are one refusal.
async fn owner(
    auth: &Auth,
    tx: &Tx,
    ceremony: &Ceremony,
    answer: &Assertion,
) -> Result<(User, Uuid)> {
    let failed = || refused("Credential verification failed");
    let handle = answer.user_handle().map_err(|_| failed())?;
    let id = Uuid::parse_str(&handle).map_err(|_| failed())?;
    let credential = answer.credential_id().map_err(|_| failed())?;
    let user = tx.user_by_id(id).await?.ok_or_else(failed)?;
    let passkey = tx.passkey_by_credential(user.id, credential).await?;
    let passkey = passkey.ok_or_else(failed)?;
    let party = RelyingParty::of(&auth.config);
    let seen = party.authenticate(ceremony, answer, &passkey.credential());
    let seen = seen.map_err(|reason| {
        tracing::debug!(%reason, "A passkey was refused");
        failed()
    })?;
    tx.use_passkey(passkey.id, seen).await?;
    Ok((user, passkey.id))
}

fn documents(passkeys: &[Passkey]) -> Response {
    let all: Vec<Value> = passkeys.iter().map(Passkey::document).collect();
    json_response(StatusCode::OK, &all.into())
}

pub(crate) async fn list(State(auth): State<Arc<Auth>>, who: SignedIn) -> Result<Response> {
    require_enabled(&auth)?;
    Ok(documents(&auth.store.passkeys(who.user.id).await?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rename {
    #[serde(deserialize_with = "nullable")]
    friendly_name: String,
}

fn not_found() -> AuthError {
    AuthError::not_found(code::VALIDATION_FAILED, "Passkey not found")
}

async fn own(tx: &Tx, user: Uuid, id: &str) -> Result<Passkey> {
    let id = Uuid::parse_str(id).map_err(|_| not_found())?;
    tx.passkey_for_update(user, id).await?.ok_or_else(not_found)
}

pub(crate) async fn rename(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    require_enabled(&auth)?;
    let params: Rename = call.json()?;
    if params.friendly_name.is_empty() {
        return Err(AuthError::invalid("friendly_name is required"));
    }
    check_name(&params.friendly_name)?;
    let tx = auth.store.begin().await?;
    let passkey = own(&tx, who.user.id, &id).await?;
    tx.rename_passkey(passkey.id, &params.friendly_name).await?;
    let passkey = own(&tx, who.user.id, &id).await?;
    let actor = Actor::user(&who.user);
    let traits = json!({"passkey_id": passkey.id.to_string()});
    tx.audit(
        &actor,
        "passkey_updated",
        Some(traits),
        &call.address_text(),
    )
    .await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &passkey.document()))
}

async fn remove(
    tx: Tx,
    passkey: Uuid,
    actor: &Actor,
    traits: Value,
    call: &Call,
) -> Result<Response> {
    tx.delete_passkey(passkey).await?;
    tx.audit(actor, "passkey_deleted", Some(traits), &call.address_text())
        .await?;
    tx.commit().await?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(crate) async fn delete(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    require_enabled(&auth)?;
    require_level(&who, &who.user)?;
    let tx = auth.store.begin().await?;
    let passkey = own(&tx, who.user.id, &id).await?;
    let traits = json!({"passkey_id": passkey.id.to_string()});
    remove(tx, passkey.id, &Actor::user(&who.user), traits, &call).await
}

pub(crate) async fn admin_list(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    Ok(documents(&auth.store.passkeys(user.id).await?))
}

pub(crate) async fn admin_delete(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path((id, passkey)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    let tx = auth.store.begin().await?;
    let passkey = own(&tx, user.id, &passkey).await?;
    let traits = json!({
        "user_id": user.id.to_string(),
        "passkey_id": passkey.id.to_string(),
    });
    remove(tx, passkey.id, &Actor::admin(&admin.role), traits, &call).await
}
