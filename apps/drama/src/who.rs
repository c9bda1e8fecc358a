//! Who asks: a user, by a token of theirs. Keys are nobody here.

use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use kernel::{BadToken, Caller};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Refusal, Result};

/// What the original's clients send where they know no user.
const NOBODY: &str = "10000";

/// Somebody signed in.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) caller: Caller,
    pub(crate) id: Uuid,
}

impl User {
    pub(crate) fn of(parts: &Parts) -> Result<Self> {
        let refused = |detail: &str| Refusal::new(StatusCode::UNAUTHORIZED, detail);
        let header = parts.headers.get(AUTHORIZATION);
        let bearer = header.and_then(|text| text.to_str().ok()?.get(..7));
        if !bearer.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")) {
            return Err(refused(
                "Missing API key. Provide via 'Authorization: Bearer <key>' header",
            ));
        }
        let believed = parts.extensions.get::<BadToken>().is_none();
        let caller = Caller::of(parts).filter(|caller| believed && caller.authenticated);
        let found = caller.and_then(|caller| Some((caller, subject(caller)?)));
        let (caller, id) = found.ok_or_else(|| refused("Invalid API key"))?;
        Ok(Self {
            caller: caller.clone(),
            id,
        })
    }

    /// A request may say whose the library is, as the original's do; it is
    /// always the user's own.
    pub(crate) fn may_be(&self, said: Option<&str>) -> Result<()> {
        let said = said.unwrap_or_default();
        let own = Uuid::parse_str(said).is_ok_and(|said| said == self.id);
        if said.is_empty() || said == NOBODY || own {
            return Ok(());
        }
        let detail = "user_id is somebody else's";
        Err(Refusal::new(StatusCode::FORBIDDEN, detail))
    }
}

/// The id in a caller's claims.
pub(crate) fn subject(caller: &Caller) -> Option<Uuid> {
    let claims: Value = serde_json::from_str(&caller.claims).ok()?;
    Uuid::parse_str(claims.get("sub")?.as_str()?).ok()
}
