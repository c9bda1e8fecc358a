//! Who asks about an upload, and what its row remembers of that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Caller;
use serde_json::{Value, json};

/// Whoever began an upload, as one text. JSON keeps a role and a subject apart
/// whatever they contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject(String);

impl Subject {
    /// A caller: the role and whom the token is about. Everybody without a
    /// token is the same one; then an upload's address alone protects it.
    pub(super) fn of(caller: &Caller) -> Self {
        Self(json!(["caller", &*caller.role, subject(caller)]).to_string())
    }

    /// Whoever has a signature for this object.
    pub(super) fn signed(bucket: &str, name: &str) -> Self {
        Self(json!(["signed", bucket, name]).to_string())
    }

    /// The duty that ends what is too old; as text it is no JSON list, so no
    /// caller can be it.
    pub(super) fn sweeper() -> Self {
        Self("sweeper".to_owned())
    }

    /// As the row has it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `sub` of the token, which becomes the object's owner.
pub(super) fn subject(caller: &Caller) -> Option<String> {
    let claims: Value = serde_json::from_str(&caller.claims).ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

/// Which object a signature says that it is for. Nothing is believed of it: the
/// signature is checked for this object next.
pub(super) fn claimed(token: &str) -> Option<(String, String)> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let (bucket, name) = claims.get("url")?.as_str()?.split_once('/')?;
    Some((bucket.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: &str, claims: &str) -> Caller {
        Caller {
            claims: claims.into(),
            ..Caller::anonymous(role)
        }
    }

    #[test]
    fn nobody_is_taken_for_somebody_else() {
        let subjects = [
            Subject::of(&caller("authenticated", r#"{"sub":"a"}"#)),
            Subject::of(&caller("authenticated", r#"{"sub":"b"}"#)),
            Subject::of(&caller("authenticated\",\"a", "{}")),
            Subject::of(&caller("authenticated", "{}")),
            Subject::of(&caller("anon", r#"{"sub":"a"}"#)),
            Subject::of(&caller("sweeper", "{}")),
            Subject::signed("a", "b/c"),
            Subject::signed("a\",\"b", "c"),
            Subject::sweeper(),
        ];
        for (n, one) in subjects.iter().enumerate() {
            assert!(subjects.iter().skip(n + 1).all(|other| other != one));
        }
    }
}
