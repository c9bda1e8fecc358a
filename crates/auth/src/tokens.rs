//! A session is won: access token, refresh token, and the answer that carries
//! them.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use kernel::Secret;
use serde_json::{Map, Value, json};

use crate::error::{Result, json_response};
use crate::model::{Method, Session, User};
use crate::request::Call;
use crate::room::Auth;
use crate::store::{NewSession, Tx};

/// What a client gets for proving who it is.
pub(crate) struct Issued {
    pub(crate) access_token: Secret,
    pub(crate) refresh_token: Secret,
    pub(crate) expires_at: i64,
    pub(crate) expires_in: i64,
    pub(crate) user: User,
    pub(crate) session: Session,
    /// More members of the answer, such as a provider's own token.
    pub(crate) more: Map<String, Value>,
}

impl Issued {
    pub(crate) fn document(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token.expose(),
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "expires_at": self.expires_at,
            "refresh_token": self.refresh_token.expose(),
            "user": self.user.document(),
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.more.clone());
        }
        body
    }

    /// The answer, with the headers by which gateways tell sessions apart.
    pub(crate) fn response(&self) -> Response {
        let mut response = json_response(StatusCode::OK, &self.document());
        let headers = response.headers_mut();
        let ids = [
            ("sb-auth-user-id", self.user.id.to_string()),
            ("sb-auth-session-id", self.session.id.to_string()),
        ];
        for (name, id) in ids {
            if let Ok(value) = HeaderValue::try_from(id) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        // It holds tokens (RFC 6749, 5.1).
        headers.insert(
            http::header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        );
        response
    }

    /// An address with the tokens behind its `#`, for browsers.
    pub(crate) fn redirect(&self, to: &str, kind: &str) -> String {
        let mut fragment = url::form_urlencoded::Serializer::new(String::new());
        fragment
            .append_pair("access_token", self.access_token.expose())
            .append_pair("expires_at", &self.expires_at.to_string())
            .append_pair("expires_in", &self.expires_in.to_string())
            .append_pair("refresh_token", self.refresh_token.expose())
            .append_pair("sb", "")
            .append_pair("token_type", "bearer")
            .append_pair("type", kind);
        format!("{to}#{}", fragment.finish())
    }
}

impl NewSession {
    /// What a request tells of the client.
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            user_agent: call.user_agent(),
            ip: call.address().map(|ip| ip.to_string()),
            ..Self::default()
        }
    }
}

impl Auth {
    /// Begins a session for a user who has proved themselves.
    pub(crate) async fn issue(
        &self,
        tx: &Tx,
        mut user: User,
        method: Method,
        new: &NewSession,
    ) -> Result<Issued> {
        let (session, refresh_token) = tx.insert_session(user.id, method, new).await?;
        user.last_sign_in_at = Some(tx.now);
        user.updated_at = Some(tx.now);
        self.issue_in(tx, user, session, method, Secret::new(refresh_token))
            .await
    }

    /// Tokens for a session that there is.
    pub(crate) async fn issue_in(
        &self,
        tx: &Tx,
        user: User,
        session: Session,
        method: Method,
        refresh_token: Secret,
    ) -> Result<Issued> {
        let expires_at = self.expiry(tx.now, &session, &user);
        let claims = self.claims(tx.now, expires_at, &session, &user);
        let claims = self.hooked(tx, claims, (&user, &session), method).await?;
        let access_token = self.parts.signer.sign(&claims)?;
        Ok(Issued {
            access_token,
            refresh_token,
            expires_at,
            expires_in: expires_at - tx.now.as_second(),
            user,
            session,
            more: Map::new(),
        })
    }

    /// A session that lacks its second factor may have to end early.
    fn expiry(&self, now: Timestamp, session: &Session, user: &User) -> i64 {
        let seconds = i64::try_from(self.config.token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let usual = now.as_second().saturating_add(seconds);
        let (aal, _) = session.aal_and_amr(user);
        let early = self
            .config
            .sessions
            .low_aal
            .filter(|_| aal < user.highest_aal());
        let early = early.and_then(|limit| session.created_at?.checked_add(limit).ok());
        early.map_or(usual, |early: Timestamp| usual.min(early.as_second()))
    }

    fn claims(
        &self,
        now: Timestamp,
        expires_at: i64,
        session: &Session,
        user: &User,
    ) -> Map<String, Value> {
        let (aal, amr) = session.aal_and_amr(user);
        let mut claims = json!({
            "iss": self.config.issuer,
            "sub": user.id.to_string(),
            "aud": user.aud,
            "exp": expires_at,
            "iat": now.as_second(),
            "email": user.email,
            "phone": user.phone,
            "app_metadata": user.app_metadata,
            "user_metadata": user.user_metadata,
            "role": user.role,
            "aal": aal,
            "amr": amr,
            "session_id": session.id.to_string(),
            "is_anonymous": user.is_anonymous,
        });
        let mut claims = claims
            .as_object_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        if let Some(client) = session.oauth_client_id {
            claims.insert("client_id".to_owned(), client.to_string().into());
        }
        if !session.scopes.is_empty() {
            claims.insert("scope".to_owned(), session.scopes.as_str().into());
        }
        claims
    }

    /// Lets the project's hook change the claims.
    async fn hooked(
        &self,
        tx: &Tx,
        claims: Map<String, Value>,
        (user, session): (&User, &Session),
        method: Method,
    ) -> Result<Value> {
        let (user, ip) = (user.id.to_string(), session.ip.as_deref());
        let hooks = &self.parts.hooks;
        let claims = hooks.custom_access_token(
            Some(tx.open()),
            &user,
            claims,
            method.as_str(),
            ip.unwrap_or_default(),
        );
        Ok(Value::Object(Box::pin(claims).await?))
    }
}
