//! What a second factor must show, and what it wins: a session of level two.
//!
//! `examine` says whether a challenge was met, `honour` raises the session.
//! Both work within one transaction that has the user, the factor and the
//! challenge locked, so a code or an answer counts once. What guards the door:
//!
//! * A factor, a challenge and a session of somebody else do not exist.
//! * A new factor of a user who has one needs level two already, when it is
//!   enrolled and also when it is verified: otherwise one enrolled before the
//!   first was verified would be a second, weaker door.
//! * What proves a factor depends on the factor and not on the request: making
//!   a credential does not pass for having one.
//! * Refresh tokens of before are forgotten, sessions below level two end.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::codes::{equal, is_fresh, token_hash};
use crate::error::{AuthError, Result, code};
use crate::model::{Factor, Method, Session, User};
use crate::request::{Call, SignedIn, nullable};
use crate::room::Auth;
use crate::store::{Actor, Challenge, Tx};
use crate::tokens::Issued;
use crate::totp::{Step, TotpSecret};
use crate::webauthn::{Assertion, Ceremony, Credential, Registration, RelyingParty};

/// A longer answer of an authenticator is none: it is kept with the factor.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What is sent to `/verify`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    #[serde(deserialize_with = "nullable")]
    challenge_id: Uuid,
    #[serde(deserialize_with = "nullable")]
    code: String,
    webauthn: Option<ShownAuthenticator>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ShownAuthenticator {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    credential_response: Option<Value>,
}

/// What was right about it.
enum Proof {
    /// The code of this step.
    App(Step),
    /// The code that was sent.
    Phone,
    /// A credential that was made just now.
    Made(Box<Credential>),
    /// Our credential, used this often.
    Known(u32),
}

/// A challenge and whether it was met.
pub(crate) struct Examined {
    pub(crate) user: User,
    pub(crate) factor: Factor,
    challenge: Challenge,
    proof: Option<Proof>,
}

impl Examined {
    pub(crate) fn is_right(&self) -> bool {
        self.proof.is_some()
    }
}

/// Where a challenge was asked for, and where it must be met.
pub(crate) fn address(call: &Call) -> IpAddr {
    call.address()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        .to_canonical()
}

/// The name of a factor's limit on wrong codes.
pub(crate) fn account(factor: Uuid) -> String {
    format!("factor:{factor}")
}

/// A level-one session must not bring a factor of its own.
pub(crate) fn may_add(user: &User, who: &SignedIn, refusal: &'static str) -> Result<()> {
    if user.has_mfa() && !who.is_aal2() {
        return Err(AuthError::forbidden(code::INSUFFICIENT_AAL, refusal));
    }
    Ok(())
}

pub(crate) fn not_found() -> AuthError {
    AuthError::not_found(code::MFA_FACTOR_NOT_FOUND, "Factor not found")
}

impl Auth {
    /// The user and one of their factors, locked.
    pub(crate) async fn factor(&self, tx: &Tx, who: &SignedIn, id: &str) -> Result<(User, Factor)> {
        let id = Uuid::parse_str(id).map_err(|_| {
            AuthError::not_found(code::VALIDATION_FAILED, "factor_id must be an UUID")
        })?;
        let user = tx.user_for_update(who.user.id).await?;
        let user = user.ok_or(AuthError::Internal("Database error loading user"))?;
        let factor = tx.factor_for_update(user.id, id).await?;
        Ok((user, factor.ok_or_else(not_found)?))
    }

    /// Whether what is shown meets the challenge.
    pub(crate) async fn examine(
        &self,
        tx: &Tx,
        (who, id): (&SignedIn, &str),
        call: &Call,
        shown: &Shown,
    ) -> Result<Examined> {
        let (user, factor) = self.factor(tx, who, id).await?;
        let settings = &self.config.factors;
        let (enabled, code, name) = match factor.factor_type.as_str() {
            "phone" => (
                settings.phone_verify,
                code::MFA_PHONE_VERIFY_NOT_ENABLED,
                "Phone",
            ),
            "webauthn" => (
                settings.web_authn_verify,
                code::MFA_WEBAUTHN_VERIFY_NOT_ENABLED,
                "WebAuthn",
            ),
            _ => (
                settings.totp_verify,
                code::MFA_TOTP_VERIFY_NOT_ENABLED,
                "TOTP",
            ),
        };
        if shown.code.is_empty() && factor.factor_type != "webauthn" {
            return Err(AuthError::invalid("Code needs to be non-empty"));
        }
        if !enabled {
            return Err(AuthError::unprocessable(
                code,
                format!("MFA verification is disabled for {name}"),
            ));
        }
        if !factor.is_verified() {
            may_add(&user, who, "AAL2 required to verify a new factor")?;
        }
        let challenge = self.challenge(tx, &factor, call, shown).await?;
        let proof = match factor.factor_type.as_str() {
            "phone" => proof_of_phone(&factor, &challenge, &shown.code),
            "webauthn" => self.proof_of_authenticator(&factor, &challenge, shown)?,
            _ => proof_of_app(tx, &factor, &shown.code).await?,
        };
        Ok(Examined {
            user,
            factor,
            challenge,
            proof,
        })
    }

    /// The challenge, if it can still be met, and from there.
    async fn challenge(
        &self,
        tx: &Tx,
        factor: &Factor,
        call: &Call,
        shown: &Shown,
    ) -> Result<Challenge> {
        let challenge = tx
            .challenge_for_update(factor.id, shown.challenge_id)
            .await?;
        let challenge = challenge.ok_or_else(|| {
            AuthError::unprocessable(
                code::MFA_FACTOR_NOT_FOUND,
                "MFA factor with the provided challenge ID not found",
            )
        })?;
        if challenge.verified_at.is_some() || challenge.ip_address.to_canonical() != address(call) {
            return Err(AuthError::unprocessable(
                code::MFA_IP_ADDRESS_MISMATCH,
                "Challenge and verify IP addresses mismatch.",
            ));
        }
        let lifetime = self.config.factors.challenge_lifetime;
        if !is_fresh(Some(challenge.created_at), lifetime, tx.now) {
            return Err(AuthError::unprocessable(
                code::MFA_CHALLENGE_EXPIRED,
                format!(
                    "MFA challenge {} has expired, verify against another challenge or create a new challenge.",
                    challenge.id
                ),
            ));
        }
        Ok(challenge)
    }

    /// Which of the two ceremonies it must be is the factor's to say.
    fn proof_of_authenticator(
        &self,
        factor: &Factor,
        challenge: &Challenge,
        shown: &Shown,
    ) -> Result<Option<Proof>> {
        let (kind, answer) = answer(shown)?;
        let malformed = || AuthError::invalid("Invalid credential_response");
        if answer.to_string().len() > ANSWER_BYTES_MAX {
            return Err(malformed());
        }
        let wanted = if factor.is_verified() {
            "request"
        } else {
            "create"
        };
        if kind != wanted {
            return Err(AuthError::invalid(format!(
                "WebAuthn type must be {wanted} for this factor"
            )));
        }
        let asked = challenge.web_authn_session_data.clone().unwrap_or_default();
        let asked: Ceremony = serde_json::from_value(asked)
            .map_err(|_| AuthError::Internal("Database error reading a challenge"))?;
        let party = RelyingParty::of(&self.config);
        let proof = if factor.is_verified() {
            let answer: Assertion =
                serde_json::from_value(answer.clone()).map_err(|_| malformed())?;
            let known = credential(factor)
                .ok_or(AuthError::Internal("Database error reading a credential"))?;
            party
                .authenticate(&asked, &answer, &known)
                .map(|seen| Proof::Known(seen.sign_count))
        } else {
            let answer: Registration =
                serde_json::from_value(answer.clone()).map_err(|_| malformed())?;
            party
                .register(&asked, &answer)
                .map(|made| Proof::Made(Box::new(made)))
        };
        Ok(proof
            .inspect_err(|reason| tracing::debug!(%reason, "An authenticator was refused"))
            .ok())
    }

    /// The challenge was met: the session rises to level two.
    pub(crate) async fn honour(
        &self,
        tx: &Tx,
        present: &Session,
        examined: Examined,
        shown: &Shown,
    ) -> Result<Issued> {
        let Examined {
            mut user,
            factor,
            challenge,
            proof,
        } = examined;
        let traits = json!({
            "factor_id": factor.id.to_string(),
            "challenge_id": challenge.id.to_string(),
            "factor_type": factor.factor_type,
        });
        let actor = Actor::user(&user);
        let at = challenge.ip_address.to_string();
        tx.audit(&actor, "verification_attempted", Some(traits), &at)
            .await?;
        self.keep(tx, &factor, &challenge, proof, shown).await?;
        if !factor.is_verified() {
            tx.verify_factor(factor.id).await?;
            let to = user.email.clone();
            let more = [("FactorType", factor.factor_type.as_str())];
            self.notify(tx, &user, &to, "mfa_factor_enrolled_notification", &more)
                .await?;
        }
        let method = Method::of_factor(&factor.factor_type);
        let gone = || {
            AuthError::forbidden(
                code::SESSION_NOT_FOUND,
                "Session from session_id claim in JWT does not exist",
            )
        };
        tx.lock_refresh_tokens(present.id).await?;
        tx.session_for_update(present.id).await?.ok_or_else(gone)?;
        let token = tx.renew_refresh_token(user.id, present.id).await?;
        tx.audit(&actor, "token_revoked", None, "").await?;
        tx.record_method(present.id, method).await?;
        tx.set_aal(present.id, "aal2", Some(factor.id)).await?;
        tx.end_low_sessions(user.id).await?;
        tx.delete_unverified_factors(user.id, &factor.factor_type)
            .await?;
        let session = tx.session(present.id).await?.ok_or_else(gone)?;
        tx.reload(&mut user).await?;
        self.issue_in(tx, user, session, method, kernel::Secret::new(token))
            .await
    }

    /// What is to be remembered of a proof, so that it does not count twice.
    async fn keep(
        &self,
        tx: &Tx,
        factor: &Factor,
        challenge: &Challenge,
        proof: Option<Proof>,
        shown: &Shown,
    ) -> Result<()> {
        match proof {
            None => return Err(AuthError::Internal("A challenge was not met")),
            Some(Proof::App(step)) => return tx.meet_challenge(challenge.id, Some(step)).await,
            Some(Proof::Phone) => return tx.meet_challenge(challenge.id, None).await,
            Some(Proof::Made(made)) => {
                tx.keep_credential(factor.id, &json!(made), made.aaguid())
                    .await?;
            }
            Some(Proof::Known(count)) => tx.count_signature(factor.id, count).await?,
        }
        let (kind, answer) = answer(shown)?;
        let data = json!({
            "challenge": {
                "challenge_id": challenge.id.to_string(),
                "factor_id": challenge.factor_id.to_string(),
                "created_at": challenge.created_at.to_string(),
                "ip_address": challenge.ip_address.to_string(),
                "web_authn_session_data": challenge.web_authn_session_data,
            },
            "type": kind,
            "credential_response": answer,
        });
        tx.keep_answer(factor.id, &data).await?;
        tx.delete_challenge(challenge.id).await
    }
}

/// The credential that a verified factor is.
pub(crate) fn credential(factor: &Factor) -> Option<Credential> {
    let stored = factor.web_authn_credential.clone()?;
    serde_json::from_value(stored).ok()
}

fn answer(shown: &Shown) -> Result<(&str, &Value)> {
    let shown = shown.webauthn.as_ref();
    let shown = shown.ok_or_else(|| AuthError::invalid("WebAuthn config required"))?;
    if !matches!(shown.kind.as_str(), "create" | "request") {
        return Err(AuthError::invalid(
            "WebAuthn type must be create or request",
        ));
    }
    let answer = shown.credential_response.as_ref();
    let answer = answer.ok_or_else(|| AuthError::invalid("credential_response required"))?;
    Ok((&shown.kind, answer))
}

async fn proof_of_app(tx: &Tx, factor: &Factor, code: &str) -> Result<Option<Proof>> {
    let secret = TotpSecret::from_base32(&factor.secret).ok_or(AuthError::Internal(
        "Database error verifying MFA TOTP secret",
    ))?;
    let last = tx.last_totp_step(factor.id).await?;
    Ok(secret.verify(code, tx.now, last).map(Proof::App))
}

fn proof_of_phone(factor: &Factor, challenge: &Challenge, code: &str) -> Option<Proof> {
    let sent = challenge.otp_code.as_deref()?;
    equal(&token_hash(&factor.phone, code), sent).then_some(Proof::Phone)
}
