//! The refresh grant: rotation, the window in which a token may come twice,
//! and the end of a session whose token somebody else has used.

mod counter;

use axum::response::Response;
use jiff::Timestamp;
use kernel::Secret;
use serde::Deserialize;
use uuid::Uuid;

use crate::error::{AuthError, Code, Result, code};
use crate::model::{Method, RefreshToken, Session, User, Validity};
use crate::request::{Call, nullable};
use crate::room::Auth;
use crate::store::{Actor, Tx};
use counter::{CounterToken, Key};

#[derive(Deserialize)]
struct Params {
    #[serde(default, deserialize_with = "nullable")]
    refresh_token: String,
}

/// Tokens of this length are rows; longer ones are mostly of GoTrue's second
/// kind, see [`counter`], or rows of its early releases.
const ROW_TOKEN_LENGTH: usize = 12;

fn refused(code: Code, reason: &str) -> AuthError {
    AuthError::bad_request(code, format!("Invalid Refresh Token: {reason}"))
}

fn not_found() -> AuthError {
    refused(code::REFRESH_TOKEN_NOT_FOUND, "Refresh Token Not Found")
}

/// What is to become of a token that was shown.
enum Use {
    /// A new one takes its place.
    Swap,
    /// Its successor was not received; it is given once more.
    Again(Secret),
    /// Somebody else has used it.
    Stolen,
}

/// What was shown, once it has been found.
enum Shown {
    Row(RefreshToken),
    Counter(CounterToken, Key),
}

impl Auth {
    pub(crate) async fn refresh_grant(&self, call: &Call) -> Result<Response> {
        let params: Params = call.json()?;
        let issued = self.refresh(&params.refresh_token, None, call).await?;
        Ok(issued.response())
    }

    /// New tokens for a refresh token. `client` is the OAuth client that shows
    /// it; a client's session cannot be refreshed by anybody else.
    pub(crate) async fn refresh(
        &self,
        token: &str,
        client: Option<Uuid>,
        call: &Call,
    ) -> Result<crate::tokens::Issued> {
        if token.len() < ROW_TOKEN_LENGTH {
            return Err(AuthError::invalid("Refresh token is not valid"));
        }
        let tx = self.store.begin().await?;
        let (shown, user, session) = shown(&tx, token).await?;
        if user.is_banned(tx.now) {
            return Err(refused(code::USER_BANNED, "User Banned"));
        }
        let mut session =
            session.ok_or_else(|| refused(code::SESSION_NOT_FOUND, "No Valid Session Found"))?;
        check_client(&session, client)?;
        let changed = match &shown {
            Shown::Row(row) => row.updated_at,
            Shown::Counter(..) => None,
        };
        self.check_validity(&tx, &session, changed, &user).await?;
        let judged = match &shown {
            Shown::Row(row) => self.judge(&tx, row, &session).await?,
            Shown::Counter(token, key) => self.judge_counter(&tx, token, key, &session)?,
        };
        let actor = Actor::user(&user);
        let token = match (judged, &shown) {
            (Use::Swap, Shown::Row(row)) => {
                tx.audit(&actor, "token_refreshed", None, "").await?;
                tx.audit(&actor, "token_revoked", None, "").await?;
                Secret::new(tx.swap_refresh_token(row, session.id).await?)
            }
            (Use::Swap, Shown::Counter(token, key)) => {
                tx.audit(&actor, "token_refreshed", None, "").await?;
                let next = token.counter.saturating_add(1);
                tx.set_refresh_counter(session.id, next).await?;
                counter::encode(session.id, next, key)
            }
            (Use::Again(token), _) => {
                tx.audit(&actor, "token_refreshed", None, "").await?;
                token
            }
            (Use::Stolen, _) => {
                if self.config.rotation_enabled {
                    match shown {
                        Shown::Row(_) => tx.revoke_family(session.id).await?,
                        Shown::Counter(..) => tx.end_session(session.id).await?,
                    }
                }
                // The refusal must not undo what it says.
                tx.commit().await?;
                return Err(refused(code::REFRESH_TOKEN_ALREADY_USED, "Already Used"));
            }
        };
        let address = call.address().map(|ip| ip.to_string());
        session.ip.clone_from(&address);
        tx.touch_session(session.id, call.user_agent(), address)
            .await?;
        let issued = self
            .issue_in(&tx, user, session, Method::Refresh, token)
            .await?;
        tx.commit().await?;
        Ok(issued)
    }

    async fn check_validity(
        &self,
        tx: &Tx,
        session: &Session,
        changed: Option<Timestamp>,
        user: &User,
    ) -> Result<()> {
        let rules = &self.config.sessions;
        let refreshed = session.refreshed(changed);
        let reason = match session.validity(rules, tx.now, refreshed, user.highest_aal()) {
            Validity::Valid => {
                if rules.single_per_user && tx.has_newer_session(session).await? {
                    "Session Expired (Revoked by Newer Login)"
                } else {
                    return Ok(());
                }
            }
            Validity::Inactive => "Session Expired (Inactivity)",
            Validity::LowAal => "Session Expired (Low AAL: User Needs MFA Verification)",
            Validity::Expired => "Session Expired",
        };
        Err(refused(code::SESSION_EXPIRED, reason))
    }

    /// A token that was already used is no theft when its successor is still
    /// unused (it was not received), or when it comes within the window
    /// (several tabs woke up at once).
    async fn judge(&self, tx: &Tx, row: &RefreshToken, session: &Session) -> Result<Use> {
        if !row.revoked {
            return Ok(Use::Swap);
        }
        let active = tx.active_refresh_token(session.id).await?;
        if let Some(active) = &active
            && active.parent == row.token
        {
            return Ok(Use::Again(Secret::new(active.token.as_str())));
        }
        let window = row
            .updated_at
            .and_then(|at| at.checked_add(self.config.reuse_interval).ok());
        match active {
            Some(_) if window.is_some_and(|end| tx.now <= end) => Ok(Use::Swap),
            _ => Ok(Use::Stolen),
        }
    }

    /// The same for tokens that count: the last but one was not received, an
    /// older one is a tab that slept, within the window.
    fn judge_counter(
        &self,
        tx: &Tx,
        token: &CounterToken,
        key: &Key,
        session: &Session,
    ) -> Result<Use> {
        let current = session.refresh_token_counter.ok_or_else(not_found)?;
        let behind = current.saturating_sub(token.counter);
        let window = session
            .refreshed(None)
            .checked_add(self.config.reuse_interval);
        match behind {
            ..0 => Err(refused(
                code::VALIDATION_FAILED,
                "Not Issued By This Server",
            )),
            0 => Ok(Use::Swap),
            behind if behind == 1 || window.is_ok_and(|end| tx.now < end) => {
                Ok(Use::Again(counter::encode(session.id, current, key)))
            }
            _ => Ok(Use::Stolen),
        }
    }
}

/// The token, its user and its session, locked.
async fn shown(tx: &Tx, token: &str) -> Result<(Shown, User, Option<Session>)> {
    if token.len() != ROW_TOKEN_LENGTH
        && let Some(token) = CounterToken::parse(token)
    {
        let session = tx.session_for_update(token.session).await?;
        let session = session.ok_or_else(not_found)?;
        let key = session.refresh_token_hmac_key.as_ref().map(Secret::expose);
        let key = Key::read(key).filter(|key| token.is_signed_by(key));
        let key = key.ok_or_else(not_found)?;
        let user = tx
            .user_by_id(session.user_id)
            .await?
            .ok_or_else(not_found)?;
        return Ok((Shown::Counter(token, key), user, Some(session)));
    }
    let row = tx.refresh_token_for_update(token).await?;
    let row = row.ok_or_else(not_found)?;
    let user = tx.user_by_id(row.user_id).await?.ok_or_else(not_found)?;
    let session = match row.session_id {
        Some(id) => tx.session_for_update(id).await?,
        None => None,
    };
    Ok((Shown::Row(row), user, session))
}

fn check_client(session: &Session, client: Option<Uuid>) -> Result<()> {
    let refused = |description: &'static str| AuthError::OAuth {
        error: "invalid_client",
        description: description.into(),
    };
    match (session.oauth_client_id, client) {
        (Some(wanted), Some(shown)) if wanted == shown => Ok(()),
        (Some(_), Some(_)) => Err(refused("Client does not match the session's OAuth client")),
        (Some(_), None) => Err(refused("Client authentication required for OAuth session")),
        (None, Some(_)) => Err(refused(
            "Client authentication not allowed for non-OAuth session",
        )),
        (None, None) => Ok(()),
    }
}
