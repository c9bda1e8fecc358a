//! The refresh grant: rotation, the window in which a token may come twice,
//! and the end of a session whose token somebody else has used.

use axum::response::Response;
use kernel::Secret;
use serde::Deserialize;
use uuid::Uuid;

use crate::error::{AuthError, Code, Result, code};
use crate::model::{Method, RefreshToken, Session, User, Validity};
use crate::request::{Call, nullable};
use crate::room::Auth;
use crate::store::{Actor, Tx};

#[derive(Deserialize)]
struct Params {
    #[serde(default, deserialize_with = "nullable")]
    refresh_token: String,
}

/// Tokens of this length are rows; longer ones are GoTrue's newer kind, which
/// carry their session's id and a counter.
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
    Again(String),
    /// Somebody else has used it.
    Stolen,
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
        let row = tx
            .refresh_token_for_update(token)
            .await?
            .ok_or_else(not_found)?;
        let user = tx.user_by_id(row.user_id).await?.ok_or_else(not_found)?;
        if user.is_banned(tx.now) {
            return Err(refused(code::USER_BANNED, "User Banned"));
        }
        let session = match row.session_id {
            Some(id) => tx.session_for_update(id).await?,
            None => None,
        };
        let session =
            session.ok_or_else(|| refused(code::SESSION_NOT_FOUND, "No Valid Session Found"))?;
        check_client(&session, client)?;
        self.check_validity(&tx, &session, &row, &user).await?;
        let token = match self.judge(&tx, &row, &session).await? {
            Use::Swap => {
                let actor = Actor::user(&user);
                tx.audit(&actor, "token_refreshed", None, "").await?;
                tx.audit(&actor, "token_revoked", None, "").await?;
                tx.swap_refresh_token(&row, session.id).await?
            }
            Use::Again(token) => {
                tx.audit(&Actor::user(&user), "token_refreshed", None, "")
                    .await?;
                token
            }
            Use::Stolen => {
                if self.config.rotation_enabled {
                    tx.revoke_family(session.id).await?;
                }
                // The refusal must not undo what it says.
                tx.commit().await?;
                return Err(refused(code::REFRESH_TOKEN_ALREADY_USED, "Already Used"));
            }
        };
        let address = call.address().map(|ip| ip.to_string());
        tx.touch_session(session.id, call.user_agent(), address)
            .await?;
        let token = Secret::new(token);
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
        row: &RefreshToken,
        user: &User,
    ) -> Result<()> {
        let rules = &self.config.sessions;
        let refreshed = session.refreshed(row.updated_at);
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
            return Ok(Use::Again(active.token.clone()));
        }
        let window = row
            .updated_at
            .and_then(|at| at.checked_add(self.config.reuse_interval).ok());
        match active {
            Some(_) if window.is_some_and(|end| tx.now <= end) => Ok(Use::Swap),
            _ => Ok(Use::Stolen),
        }
    }
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
