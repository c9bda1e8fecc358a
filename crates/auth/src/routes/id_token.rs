//! `POST /token?grant_type=id_token`: an application on a phone or in a page
//! has an ID token of a provider already.

use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::external::unsupported;
use super::identities::require_linking;
use crate::codes::equal;
use crate::error::{AuthError, Result, code};
use crate::linking::Guest;
use crate::model::Method;
use crate::oidc::id_token::{audiences, check_access_token, text};
use crate::oidc::profile::Profile;
use crate::oidc::provider::{Failure, Provider, Unusable};
use crate::request::{Call, SignedIn, nullable};
use crate::room::Auth;
use crate::store::NewSession;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(deserialize_with = "nullable")]
    id_token: String,
    #[serde(deserialize_with = "nullable")]
    access_token: String,
    #[serde(deserialize_with = "nullable")]
    nonce: String,
    #[serde(deserialize_with = "nullable")]
    provider: String,
    #[serde(deserialize_with = "nullable")]
    client_id: String,
    #[serde(deserialize_with = "nullable")]
    issuer: String,
    #[serde(deserialize_with = "nullable")]
    link_identity: bool,
}

fn refused(description: impl Into<std::borrow::Cow<'static, str>>) -> AuthError {
    AuthError::OAuth {
        error: "invalid request",
        description: description.into(),
    }
}

pub(crate) async fn grant(auth: &Arc<Auth>, call: &Call) -> Result<Response> {
    let params: Params = call.json()?;
    if params.id_token.is_empty() {
        return Err(refused("id_token required"));
    }
    if params.provider.is_empty() && (params.client_id.is_empty() || params.issuer.is_empty()) {
        return Err(refused("provider or client_id and issuer required"));
    }
    let target = if params.link_identity {
        if call.header("authorization").is_none() {
            return Err(refused(
                "Linking requires a valid user access token in Authorization",
            ));
        }
        require_linking(auth)?;
        let mut parts = call.parts.clone();
        let who = SignedIn::from_request_parts(&mut parts, auth).await?;
        Some(who.user.id)
    } else {
        None
    };
    let provider = named(auth, &params)?;
    let claims = claims(provider, &params).await?;
    let profile = Profile::of_claims(&claims);
    let guest = Guest {
        provider: &provider.name,
        profile: &profile,
        email_optional: provider.settings.email_optional,
    };
    let may_become = target.is_none() && auth.ask_about_guest(call, &guest).await?;
    let tx = auth.store.begin().await?;
    let linked = match target {
        Some(target) => auth.link_guest(&tx, call, target, &guest).await?,
        None => auth.welcome_guest(&tx, call, &guest, may_become).await?,
    };
    let news = linked.created.then(|| linked.user.document());
    if let Some(refusal) = linked.refusal {
        tx.commit().await?;
        auth.parts.outbox.wake();
        auth.tell_of_guest(news, call).await?;
        return Err(refusal);
    }
    let session = NewSession::of(call);
    let issued = auth.issue(&tx, linked.user, Method::OAuth, &session);
    let issued = issued.await?;
    tx.commit().await?;
    auth.parts.outbox.wake();
    auth.tell_of_guest(news, call).await?;
    Ok(issued.response())
}

/// The provider that was meant, by its name or its issuer.
fn named<'a>(auth: &'a Auth, params: &Params) -> Result<&'a Provider> {
    let provider = if params.provider.is_empty() {
        auth.providers.by_issuer(&params.issuer)
    } else {
        match auth.providers.named(&auth.config, &params.provider) {
            Ok(provider) => Some(provider),
            Err(Unusable::Unknown(_)) => None,
            Err(Unusable::Disabled) => {
                let message = format!("Provider ({}) is not enabled", params.provider);
                return Err(AuthError::bad_request(code::PROVIDER_DISABLED, message));
            }
            Err(why) => return Err(unsupported(&why)),
        }
    };
    let not_allowed = || {
        let name = &params.provider;
        AuthError::invalid(format!("Custom OIDC provider {name:?} not allowed"))
    };
    let provider = provider.ok_or_else(not_allowed)?;
    let issuer = provider.issuer().ok_or_else(not_allowed)?;
    if !params.issuer.is_empty() && !crate::oidc::remote::same_issuer(issuer, &params.issuer) {
        return Err(AuthError::invalid(
            "Provided issuer does not match ID token issuer",
        ));
    }
    Ok(provider)
}

async fn claims(provider: &Provider, params: &Params) -> Result<Map<String, Value>> {
    use crate::oidc::id_token::Unfit;
    let ids = &provider.settings.client_ids;
    let claims = provider.open(&params.id_token, ids).await;
    let claims = claims.map_err(|failure| {
        tracing::info!(%failure, provider.name = provider.name, "An ID token was refused");
        match failure {
            Failure::Unfit(Unfit::Audience) => refused("Unacceptable audience in id_token"),
            Failure::Unfit(Unfit::Subject) => refused("Missing sub claim in id_token"),
            _ => refused("Bad ID token"),
        }
    })?;
    debug_assert!(!audiences(&claims).is_empty(), "checked above");
    if !params.access_token.is_empty() {
        check_access_token(&params.id_token, &claims, &params.access_token)
            .map_err(|_| refused("Bad ID token"))?;
    }
    if !provider.settings.skip_nonce_check {
        let said = text(&claims, "nonce");
        if said.is_empty() != params.nonce.is_empty() {
            return Err(refused(
                "Passed nonce and nonce in id_token should either both exist or not.",
            ));
        }
        if !said.is_empty() && !equal(said, &hashed(&params.nonce)) {
            return Err(AuthError::OAuth {
                error: "invalid nonce",
                description: "Nonces mismatch".into(),
            });
        }
    }
    Ok(claims)
}

/// The application keeps the nonce; the provider sees its hash.
fn hashed(nonce: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(nonce)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
