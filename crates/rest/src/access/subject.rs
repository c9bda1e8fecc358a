//! Whose access is explained: what the holder of a service key wrote behind
//! `for=` or into `Explain-As`, as a role and its claims.
//!
//! Four ways to name somebody: a role (`anon`), a user's id (a UUID), claims
//! (a JSON object) and a user's token. A token is only read, not verified: who
//! holds a service key may choose any claims anyway, and a token that has
//! expired is worth an explanation, too.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::error::{PostgresError, RestError};

/// The header that names the subject where a preference has no room.
pub(super) const HEADER: &str = "explain-as";

const PREFERENCE: &str = "explain=";
/// Signed-in users have this role unless their claims say otherwise.
const SIGNED_IN: &str = "authenticated";
const ANONYMOUS: &str = "anon";
/// The longest name of a role in PostgreSQL.
const ROLE_BYTES_MAX: usize = 63;

/// A role and its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) role: String,
    pub(crate) claims: Map<String, Value>,
    /// What had to be assumed.
    pub(crate) notes: Vec<String>,
}

impl Subject {
    /// The claims as they are handed to PostgreSQL.
    pub(super) fn claims_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    pub(super) fn has_user(&self) -> bool {
        let sub = self.claims.get("sub").and_then(Value::as_str);
        sub.is_some_and(|sub| !sub.is_empty())
    }

    fn of_role(role: &str) -> Self {
        let mut claims = Map::new();
        claims.insert("role".to_owned(), role.into());
        Self {
            role: role.to_owned(),
            claims,
            notes: Vec::new(),
        }
    }

    /// Reads one of the four ways.
    pub(super) fn parse(text: &str) -> Result<Self, RestError> {
        let text = text.trim();
        if text.starts_with('{') {
            let claims: Map<String, Value> = serde_json::from_str(text)
                .map_err(|_| unreadable("the claims are no JSON object"))?;
            return Self::of_claims(claims, Origin::Claims);
        }
        if text.starts_with("ey") && text.matches('.').count() == 2 {
            return Self::of_claims(claims_of(text)?, Origin::Token);
        }
        if is_uuid(text) {
            let mut subject = Self::of_role(SIGNED_IN);
            subject.claims = user_claims(text);
            subject.notes.push(
                "The claims are what an id alone tells. Policies that read more of a token \
                 (app_metadata, email) need the claims or the token itself."
                    .to_owned(),
            );
            return Ok(subject);
        }
        let is_role = !text.is_empty()
            && text.len() <= ROLE_BYTES_MAX
            && !text.chars().any(|c| c.is_control() || c == '"')
            // To PostgreSQL this means the login role.
            && !text.eq_ignore_ascii_case("none");
        if is_role {
            Ok(Self::of_role(text))
        } else {
            Err(unreadable("it is no name of a role"))
        }
    }

    fn of_claims(mut claims: Map<String, Value>, origin: Origin) -> Result<Self, RestError> {
        let mut notes = Vec::new();
        let said = claims.get("role").cloned();
        let role = match said {
            Some(Value::String(role)) => role,
            Some(_) => return Err(unreadable("the claim `role` is no text")),
            None => {
                let role = match origin {
                    Origin::Claims if claims.contains_key("sub") => SIGNED_IN,
                    Origin::Claims | Origin::Token => ANONYMOUS,
                };
                notes.push(format!("The claims name no role; {role} is assumed."));
                if matches!(origin, Origin::Claims) {
                    claims.insert("role".to_owned(), role.into());
                }
                role.to_owned()
            }
        };
        // The same doubts as for a role that is named directly.
        let checked = Self::parse_role(&role)?;
        Ok(Self {
            role: checked,
            claims,
            notes,
        })
    }

    fn parse_role(role: &str) -> Result<String, RestError> {
        if role.starts_with('{') || is_uuid(role) {
            return Err(unreadable("the claim `role` is no name of a role"));
        }
        Self::parse(role).map(|subject| subject.role)
    }
}

#[derive(Clone, Copy)]
enum Origin {
    Claims,
    Token,
}

/// Whether an explanation is wanted, and of whose access. Any other
/// `explain=` is refused, strict handling or not: the request would otherwise
/// be carried out.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Option<String>, RestError> {
    let mut wanted = None;
    for value in headers.get_all("prefer") {
        let text = String::from_utf8_lossy(value.as_bytes());
        for wish in text.split(',').map(str::trim) {
            let mut parts = wish.split(';').map(str::trim);
            let Some(what) = parts.next().and_then(|head| head.strip_prefix(PREFERENCE)) else {
                continue;
            };
            let of_whom = parts.next().map(|part| part.strip_prefix("for="));
            let extra = parts.next().is_some();
            match (what, of_whom) {
                ("access", None) if !extra => wanted.get_or_insert_with(String::new),
                ("access", Some(Some(name))) if !extra => {
                    wanted.get_or_insert_with(|| name.trim_matches('"').to_owned())
                }
                _ => return Err(RestError::InvalidPreferences(vec![wish.to_owned()])),
            };
        }
    }
    let Some(of_preference) = wanted else {
        return Ok(None);
    };
    let of_header = headers
        .get(HEADER)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let named = of_header
        .or(Some(of_preference))
        .filter(|name| !name.trim().is_empty());
    Ok(Some(named.unwrap_or_else(|| ANONYMOUS.to_owned())))
}

fn claims_of(token: &str) -> Result<Map<String, Value>, RestError> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| unreadable("the token's claims cannot be read"))
}

fn user_claims(id: &str) -> Map<String, Value> {
    let claims = json!({"sub": id, "role": SIGNED_IN, "aud": SIGNED_IN});
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(index, c)| match index {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

fn unreadable(why: &str) -> RestError {
    RestError::Postgres(Box::new(PostgresError {
        code: "22023".to_owned(),
        message: format!("Cannot tell whose access to explain: {why}"),
        detail: None,
        hint: Some(
            "Name a role, a user's id, claims as a JSON object with a role, or a user's token."
                .to_owned(),
        ),
        authenticated: true,
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    fn asked(values: &[(&'static str, &str)]) -> Result<Option<String>, RestError> {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, value.parse().unwrap());
        }
        wanted(&headers)
    }

    #[test]
    fn a_subject_is_a_role_an_id_claims_or_a_token() {
        let role = Subject::parse("anon").unwrap();
        assert_eq!(role.claims_text(), r#"{"role":"anon"}"#);
        assert!(!role.has_user());

        let user = Subject::parse(ID).unwrap();
        assert_eq!(user.role, "authenticated");
        assert!(user.has_user());

        let claims = Subject::parse(r#"{"role":"editor","sub":"x","team":7}"#).unwrap();
        assert_eq!(claims.role, "editor");
        assert_eq!(claims.claims.get("team"), Some(&json!(7)));

        let payload = URL_SAFE_NO_PAD.encode(r#"{"role":"authenticated","sub":"y","exp":1}"#);
        let token = Subject::parse(&format!("eyJhbGciOiJIUzI1NiJ9.{payload}.nonsense")).unwrap();
        assert_eq!(token.claims.get("sub"), Some(&json!("y")));
    }

    #[test]
    fn claims_without_a_role_say_what_is_assumed() {
        let claims = Subject::parse(&format!(r#"{{"sub":"{ID}"}}"#)).unwrap();
        assert_eq!(claims.role, "authenticated");
        assert_eq!(claims.notes.len(), 1);
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"y"}"#);
        let token = Subject::parse(&format!("eyJ.{payload}.s")).unwrap();
        assert_eq!(token.role, "anon");
    }

    #[test]
    fn the_login_role_is_nobody_to_explain() {
        for bad in [
            "",
            "none",
            "NONE",
            "a\"b",
            "{",
            "{}x",
            r#"{"role":"none"}"#,
            r#"{"role":1}"#,
        ] {
            assert_eq!(Subject::parse(bad).unwrap_err().code(), "22023", "{bad}");
        }
    }

    #[test]
    fn the_preference_chooses_and_the_header_outranks_it() {
        assert_eq!(asked(&[("prefer", "return=minimal")]).unwrap(), None);
        let plain = asked(&[("prefer", "count=exact, explain=access")]).unwrap();
        assert_eq!(plain.as_deref(), Some("anon"));
        let named = asked(&[("prefer", r#"explain=access; for="authenticated""#)]).unwrap();
        assert_eq!(named.as_deref(), Some("authenticated"));
        let both = asked(&[("prefer", "explain=access;for=anon"), (HEADER, ID)]).unwrap();
        assert_eq!(both.as_deref(), Some(ID));
        // The header alone explains nothing.
        assert_eq!(asked(&[(HEADER, ID)]).unwrap(), None);
    }

    #[test]
    fn a_misspelt_wish_is_refused_since_it_would_be_carried_out() {
        for bad in [
            "explain=acces",
            "explain=access; to=anon",
            "explain=",
            "explain=access;for=a;b",
        ] {
            assert_eq!(
                asked(&[("prefer", bad)]).unwrap_err().code(),
                "PGRST122",
                "{bad}"
            );
        }
    }
}
