//! Being an OAuth 2.1 server: what endpoints in `routes/oauth_*` share.
//!
//! A client is registered (`registration`, by an operator or by itself). It
//! sends a browser to `/oauth/authorize`; the request becomes an
//! `Authorization`, the browser goes on to the application's consent page, or
//! to the one that is built in (`page`). Consent gives a code, and
//! `/oauth/token` gives a session for it, bound to the client.
//!
//! Invariants: no code without an S256 challenge; a redirect address is one
//! that was registered, byte for byte; codes and secrets are stored as hashes;
//! a code counts once and for one client, and ends its session when it comes
//! again; what a client holds cannot widen what it was granted.

pub(crate) mod address;
pub(crate) mod credentials;
pub(crate) mod page;
pub(crate) mod registration;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::{AuthError, Result, code};
use crate::model::{Authorization, Client, User, has_scope};
use crate::room::Auth;
use crate::store::Tx;

/// A person has to find the page, sign in and read. GoTrue's.
pub(crate) const AUTHORIZATION_LIFETIME: Duration = Duration::from_secs(600);
/// A client exchanges its code at once; longer only helps thieves (RFC 6749,
/// 4.1.2, recommends at most ten minutes).
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// As long as an access token at most, and `OpenID`'s custom.
const ID_TOKEN_SECONDS: i64 = 3600;

/// What is stored of a secret or a code: they are 256 random bits, which need
/// no slow hash.
pub(crate) fn hashed(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// Something went wrong in OAuth's words.
pub(crate) fn oauth(error: &'static str, description: impl Into<String>) -> AuthError {
    AuthError::OAuth {
        error,
        description: description.into().into(),
    }
}

pub(crate) fn no_such_authorization() -> AuthError {
    AuthError::not_found(
        code::OAUTH_AUTHORIZATION_NOT_FOUND,
        "authorization not found",
    )
}

/// What became of a request for consent.
pub(crate) enum Decision {
    /// The browser goes here.
    Sent(String),
    /// The user has to be asked.
    Ask(Box<Authorization>, Box<Client>),
}

impl Auth {
    /// Refuses everything when the operator wants no OAuth server.
    pub(crate) fn require_oauth_server(&self) -> Result<()> {
        if self.config.oauth_server.enabled {
            return Ok(());
        }
        Err(AuthError::not_found(
            code::FEATURE_DISABLED,
            "OAuth server is disabled",
        ))
    }

    /// 256 random bits as text: secrets, codes, ids of requests.
    pub(crate) fn unguessable(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.rng.bytes::<32>()))
    }

    /// The request, locked, if it may still be decided. Whoever gets an error
    /// rolls back, so what is too late stays as it is; nobody can use it.
    pub(crate) async fn open_authorization(&self, tx: &Tx, id: &str) -> Result<Authorization> {
        let found = tx.authorization_for_update(id).await?;
        let found = found.ok_or_else(no_such_authorization)?;
        if found.is_expired(tx.now) {
            return Err(no_such_authorization());
        }
        if !found.is_pending() {
            return Err(AuthError::invalid(
                "authorization request cannot be processed",
            ));
        }
        Ok(found)
    }

    /// Makes the user the one who decides, and answers at once where they have
    /// before. Somebody else's request does not exist.
    pub(crate) async fn claim_authorization(
        &self,
        tx: &Tx,
        id: &str,
        user: Uuid,
    ) -> Result<Decision> {
        let asked = self.open_authorization(tx, id).await?;
        let client = tx.oauth_client(asked.client_id).await?;
        let client = client.ok_or_else(no_such_authorization)?;
        match asked.user_id {
            None => tx.set_authorization_user(asked.id, user).await?,
            Some(other) if other != user => return Err(no_such_authorization()),
            Some(_) => {}
        }
        let granted = tx.consented(user, client.id).await?.unwrap_or_default();
        let covered =
            crate::model::scope_list(&asked.scope).all(|scope| has_scope(&granted, scope));
        // Anybody on the user's machine can be a public client whose address
        // is not on the web (RFC 8252, 8.6): there only the user can tell.
        let genuine = client.is_confidential() || asked.redirect_uri.starts_with("https://");
        if !granted.is_empty() && covered && genuine {
            return Ok(Decision::Sent(self.approve(tx, &asked).await?));
        }
        Ok(Decision::Ask(Box::new(asked), Box::new(client)))
    }

    /// The address with the code. The request must be locked and pending.
    pub(crate) async fn approve(&self, tx: &Tx, asked: &Authorization) -> Result<String> {
        let code = self.unguessable();
        tx.approve_authorization(asked.id, &hashed(code.expose()), CODE_LIFETIME)
            .await?;
        Ok(self.answer(asked, &[("code", code.expose())]))
    }

    /// Remembers the user's consent and answers the client.
    pub(crate) async fn decide(
        &self,
        tx: &Tx,
        asked: &Authorization,
        user: Uuid,
        approved: bool,
    ) -> Result<String> {
        if approved {
            let to = self.approve(tx, asked).await?;
            tx.consent(user, asked.client_id, &asked.scope).await?;
            return Ok(to);
        }
        tx.close_authorization(asked.id, "denied").await?;
        let why = [
            ("error", "access_denied"),
            ("error_description", "User denied the request"),
        ];
        Ok(self.answer(asked, &why))
    }

    fn answer(&self, asked: &Authorization, pairs: &[(&str, &str)]) -> String {
        self.client_address(&asked.redirect_uri, &asked.state, pairs)
    }

    /// A client's address with an answer. `iss` tells a client of several
    /// servers whose answer it is (RFC 9207).
    pub(crate) fn client_address(
        &self,
        redirect_uri: &str,
        state: &str,
        pairs: &[(&str, &str)],
    ) -> String {
        let mut all = pairs.to_vec();
        if !state.is_empty() {
            all.push(("state", state));
        }
        all.push(("iss", &self.config.issuer));
        address::answered(redirect_uri, &all)
    }

    /// Who the user is, for the client alone (`OpenID` Connect Core, 2).
    pub(crate) fn id_token(&self, tx: &Tx, user: &User, asked: &Authorization) -> Result<Secret> {
        let now = tx.now.as_second();
        let client = asked.client_id.to_string();
        let mut claims = json!({
            "iss": self.config.issuer,
            "sub": user.id.to_string(),
            "aud": [client],
            "exp": now + ID_TOKEN_SECONDS,
            "iat": now,
            "auth_time": user.last_sign_in_at.map_or(now, jiff::Timestamp::as_second),
            "client_id": client,
        });
        if let Some(claims) = claims.as_object_mut() {
            if !asked.nonce.is_empty() {
                claims.insert("nonce".to_owned(), asked.nonce.as_str().into());
            }
            claims.extend(described(user, &asked.scope));
        }
        self.parts.signer.sign(&claims)
    }
}

/// What the scopes let a client know of a user, by `OpenID`'s names.
pub(crate) fn described(user: &User, scopes: &str) -> serde_json::Map<String, Value> {
    let mut out = serde_json::Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    if has_scope(scopes, "email") && !user.email.is_empty() {
        set("email", user.email.as_str().into());
        set("email_verified", user.is_confirmed().into());
    }
    if has_scope(scopes, "phone") && !user.phone.is_empty() {
        set("phone_number", user.phone.as_str().into());
        set("phone_number_verified", user.is_phone_confirmed().into());
    }
    if has_scope(scopes, "profile") {
        let said = |names: &[&str]| {
            let texts = names
                .iter()
                .filter_map(|name| user.user_metadata.get(*name));
            let mut texts = texts
                .filter_map(Value::as_str)
                .filter(|text| !text.is_empty());
            texts.next().map(str::to_owned)
        };
        let address = Some(user.email.clone()).filter(|email| !email.is_empty());
        let known = [
            ("name", said(&["name"]).or(address)),
            ("picture", said(&["picture", "avatar_url"])),
            (
                "preferred_username",
                said(&["preferred_username", "username"]),
            ),
        ];
        for (name, text) in known {
            if let Some(text) = text {
                set(name, text.into());
            }
        }
        if let Some(at) = user.updated_at {
            set("updated_at", at.as_second().into());
        }
    }
    out
}
