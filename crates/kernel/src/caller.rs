//! Who is asking. The gateway verifies tokens and keys and writes one
//! [`Caller`] into the request's extensions; rooms only ever read it.

use std::sync::Arc;

/// The verified identity behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The database role that every statement of this request runs as.
    pub role: Arc<str>,
    /// The verified token's claims as JSON text, handed to Postgres as
    /// `request.jwt.claims`. For a caller without a token: `{"role":"anon"}`.
    pub claims: Arc<str>,
    /// Whether a token or key proved this identity. PostgREST answers 401
    /// instead of 403 to a caller who has shown nothing.
    pub authenticated: bool,
    /// Whether everything that this caller does must leave data as it is: every
    /// transaction on its behalf is read-only.
    pub read_only: bool,
}

impl Caller {
    /// A caller who showed no token: the anonymous role and its bare claims.
    #[must_use]
    pub fn anonymous(role: &str) -> Self {
        let claims = format!("{{\"role\":{}}}", quoted(role));
        Self {
            role: role.into(),
            claims: claims.into(),
            authenticated: false,
            read_only: false,
        }
    }

    /// The caller of a request, if the gateway has put one there.
    #[must_use]
    pub fn of(parts: &http::request::Parts) -> Option<&Self> {
        parts.extensions.get::<Self>()
    }
}

/// Where a request came from, as far as the gateway believes it. Written into
/// the request's extensions beside the [`Caller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub std::net::IpAddr);

/// Why the bearer token of a request was not believed. The gateway leaves it in
/// the extensions for rooms that word such refusals themselves; the [`Caller`]
/// beside it is then nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadToken {
    /// For people; without any part of the token.
    pub reason: Arc<str>,
}

/// A JSON string literal. Role names are the operator's, but they may still
/// contain a quote.
fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_role_name_stays_one_json_string() {
        let caller = Caller::anonymous("we\"ird\\role\n");
        assert_eq!(&*caller.claims, r#"{"role":"we\"ird\\role\u000a"}"#);
        assert!(!caller.authenticated);
    }
}
