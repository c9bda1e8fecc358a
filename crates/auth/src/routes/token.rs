//! `POST /token`: password, refresh token, or the code at the end of a flow.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts;
use crate::codes::check_verifier;
use crate::error::{AuthError, Result, code};
use crate::hook::Verdict as HookVerdict;
use crate::limits::Kind;
use crate::model::{Method, User};
use crate::password::Verdict;
use crate::request::{Call, nullable};
use crate::room::Auth;
use crate::store::{Actor, NewSession};

pub(crate) async fn token(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    let grant = call.asked("grant_type").unwrap_or_default();
    match grant.as_str() {
        "password" => {
            auth.require_human(&call).await?;
            auth.limit(Kind::SignInSignUps, &call)?;
            password(&auth, &call).await
        }
        "refresh_token" => {
            auth.limit(Kind::TokenRefresh, &call)?;
            auth.refresh_grant(&call).await
        }
        "pkce" => {
            auth.limit(Kind::SignInSignUps, &call)?;
            pkce(&auth, &call).await
        }
        "id_token" => {
            auth.limit(Kind::SignInSignUps, &call)?;
            super::id_token::grant(&auth, &call).await
        }
        "web3" => Err(AuthError::unprocessable(
            code::WEB3_PROVIDER_DISABLED,
            "Web3 provider is disabled",
        )),
        _ => Err(AuthError::bad_request(
            code::INVALID_CREDENTIALS,
            "unsupported_grant_type",
        )),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PasswordParams {
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
    #[serde(deserialize_with = "nullable")]
    password: String,
}

fn wrong() -> AuthError {
    AuthError::bad_request(code::INVALID_CREDENTIALS, "Invalid login credentials")
}

async fn password(auth: &Auth, call: &Call) -> Result<Response> {
    let params: PasswordParams = call.json()?;
    if !params.email.is_empty() && !params.phone.is_empty() {
        return Err(AuthError::invalid(
            "Only an email address or phone number should be provided on login.",
        ));
    }
    let audience = call.audience(auth);
    let (provider, account, user) = if params.email.is_empty() {
        if params.phone.is_empty() {
            return Err(AuthError::invalid("missing email or phone"));
        }
        if !auth.config.phone.enabled {
            return Err(AuthError::unprocessable(
                code::PHONE_PROVIDER_DISABLED,
                "Phone logins are disabled",
            ));
        }
        let phone = accounts::plain_phone(&params.phone);
        let user = auth.store.user_by_phone(&phone, &audience).await?;
        ("phone", phone, user)
    } else {
        if !auth.config.mail.enabled {
            return Err(AuthError::unprocessable(
                code::EMAIL_PROVIDER_DISABLED,
                "Email logins are disabled",
            ));
        }
        let user = auth.store.user_by_email(&params.email, &audience).await?;
        ("email", params.email.to_lowercase(), user)
    };
    let user = match user {
        None if provider == "email" => {
            check_tries(auth, call, &account)?;
            auth.adopt(call, &account, &params.password).await?
        }
        user => user,
    };
    let (user, rehash) = prove(auth, call, user, &account, &params.password).await?;
    if provider == "email" && !user.is_confirmed() {
        return Err(AuthError::bad_request(
            code::EMAIL_NOT_CONFIRMED,
            "Email not confirmed",
        ));
    }
    if provider == "phone" && !user.is_phone_confirmed() {
        return Err(AuthError::bad_request(
            code::PHONE_NOT_CONFIRMED,
            "Phone not confirmed",
        ));
    }
    let tx = auth.store.begin().await?;
    if let Some(hash) = rehash {
        tx.rehash_password(&user, &hash).await?;
    }
    let traits = json!({"provider": provider});
    tx.audit(&Actor::user(&user), "login", Some(traits), "")
        .await?;
    let session = NewSession::of(call);
    let mut issued = auth.issue(&tx, user, Method::Password, &session).await?;
    tx.commit().await?;
    let weak = match auth.check_password(&params.password).await {
        Err(AuthError::WeakPassword { message, reasons }) => {
            json!({"message": message, "reasons": reasons})
        }
        _ => Value::Null,
    };
    issued.more.insert("weak_password".to_owned(), weak);
    Ok(issued.response())
}

fn address(call: &Call) -> IpAddr {
    call.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Refuses after too many wrong passwords.
fn check_tries(auth: &Auth, call: &Call, account: &str) -> Result<()> {
    let tries = auth.limits.check_account(account, address(call));
    tries.map_err(|_| {
        AuthError::too_many(code::OVER_REQUEST_RATE_LIMIT, "Request rate limit reached")
    })
}

/// The user whose password this is, and a better hash if there is to be one.
/// Everything else is the same refusal after the same time.
pub(crate) async fn prove(
    auth: &Auth,
    call: &Call,
    user: Option<User>,
    account: &str,
    password: &str,
) -> Result<(User, Option<String>)> {
    check_tries(auth, call, account)?;
    let address = address(call);
    let verdict = auth.verify_password(user.as_ref(), password).await?;
    if let Some(user) = &user {
        asked(auth, call, user, verdict.is_right()).await?;
    }
    let (Some(user), Verdict::Right { rehash }) = (user, verdict) else {
        auth.limits.failed(account, address);
        return Err(wrong());
    };
    if user.is_banned(auth.clock.now()) {
        return Err(AuthError::bad_request(code::USER_BANNED, "User is banned"));
    }
    auth.limits.succeeded(account, address);
    let better = if rehash && password.len() <= crate::password::PASSWORD_BYTES_MAX {
        Some(auth.hash(password).await?)
    } else {
        None
    };
    Ok((user, better))
}

/// Tells the project's hook what was tried; it may refuse.
async fn asked(auth: &Auth, call: &Call, user: &User, valid: bool) -> Result<()> {
    let (hooks, id, ip) = (&auth.parts.hooks, user.id.to_string(), call.address_text());
    let verdict = Box::pin(hooks.password_verification(&id, valid, &ip)).await?;
    let decision = match verdict {
        HookVerdict::Continue => return Ok(()),
        HookVerdict::Reject(decision) => decision,
    };
    if decision.sign_out {
        let tx = auth.store.begin().await?;
        tx.end_sessions(user.id).await?;
        tx.commit().await?;
    }
    Err(AuthError::bad_request(
        code::INVALID_CREDENTIALS,
        decision.message,
    ))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PkceParams {
    #[serde(deserialize_with = "nullable")]
    auth_code: String,
    #[serde(deserialize_with = "nullable")]
    code_verifier: String,
}

async fn pkce(auth: &Auth, call: &Call) -> Result<Response> {
    let params: PkceParams = call.json()?;
    if params.auth_code.is_empty() || params.code_verifier.is_empty() {
        return Err(AuthError::invalid(
            "invalid request: both auth code and code verifier should be non-empty",
        ));
    }
    let unknown = || {
        AuthError::not_found(
            code::FLOW_STATE_NOT_FOUND,
            "invalid flow state, no valid flow state found",
        )
    };
    let tx = auth.store.begin().await?;
    let flow = tx
        .flow_by_code(&params.auth_code)
        .await?
        .ok_or_else(unknown)?;
    let user = flow.user_id.ok_or_else(unknown)?;
    // A code that was never issued was guessed from the table.
    let since = flow
        .auth_code_issued_at
        .filter(|_| flow.authentication_method == "magiclink");
    let since = since.or(flow.created_at);
    if !crate::codes::is_fresh(since, auth.config.flow_state_lifetime, tx.now) {
        return Err(AuthError::unprocessable(
            code::FLOW_STATE_EXPIRED,
            "invalid flow state, flow state has expired",
        ));
    }
    let user = tx.user_by_id(user).await?.ok_or_else(unknown)?;
    check_verifier(
        &flow.code_challenge,
        &flow.code_challenge_method,
        &params.code_verifier,
    )?;
    let method = Method::parse(&flow.authentication_method).ok_or_else(unknown)?;
    let traits = json!({"provider_type": flow.provider_type});
    tx.audit(&Actor::user(&user), "login", Some(traits), "")
        .await?;
    let session = NewSession::of(call);
    let mut issued = auth.issue(&tx, user, method, &session).await?;
    tx.delete_flow(flow.id).await?;
    tx.commit().await?;
    for (name, token) in [
        ("provider_token", flow.provider_access_token),
        ("provider_refresh_token", flow.provider_refresh_token),
    ] {
        if !token.is_empty() {
            issued.more.insert(name.to_owned(), token.into());
        }
    }
    Ok(issued.response())
}
