//! Somebody else's tokens, believed beside our own: `[auth.third_party.<name>]`
//! with the names that the official CLI has (`firebase`, `auth0`,
//! `aws_cognito`, `clerk`, `workos`), and any other with an `issuer`.
//!
//! A token that names one of these issuers is verified by that issuer's public
//! keys and by nothing else, and one that names none of them never is. Keys
//! are in memory; only a token that names an unknown one waits for them, and
//! `auth::oidc::remote` bounds how often they are asked for.

use std::sync::Arc;

use auth::oidc::keys::claimed_issuer;
use auth::oidc::remote::{Remote, Source, same_issuer};
use kernel::{Caller, Clock};
use outbound::Client;
use serde_json::{Map, Value};

use super::jwt::{self, JwtError};
use super::role_path::RolePath;
use super::verifier::TokenError;

/// Each token is held against all of them.
const ISSUERS_MAX: usize = 20;

/// Whose tokens are believed.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Issuer {
    name: String,
    iss: String,
    remote: Remote,
    /// One of these must be among those that a token is for, if there are any.
    audiences: Vec<String>,
    role_claim: RolePath,
    /// The role of everybody, whatever a token says.
    role: Option<Arc<str>>,
}

/// A section that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct IssuerError {
    /// Its name below `third_party`.
    pub name: String,
    /// What it should have.
    pub expected: &'static str,
}

impl Issuers {
    /// Those of `[auth.third_party]`.
    pub fn read(
        section: Option<&Value>,
        client: &Client,
        clock: &Clock,
    ) -> Result<Self, IssuerError> {
        let mut all = Vec::new();
        for (name, section) in section.and_then(Value::as_object).into_iter().flatten() {
            let wrong = |expected| IssuerError {
                name: name.clone(),
                expected,
            };
            let enabled = match section.get("enabled") {
                None => true,
                Some(said) => flag(said).ok_or_else(|| wrong("enabled: true or false"))?,
            };
            if !enabled {
                continue;
            }
            if all.len() == ISSUERS_MAX {
                return Err(wrong("not more than 20 of them"));
            }
            all.push(Issuer::read(name, section, client, clock).map_err(wrong)?);
        }
        Ok(Self(all))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuer that a token says it is of, unverified.
    pub(crate) fn of(&self, token: &str) -> Option<&Issuer> {
        if self.0.is_empty() {
            return None;
        }
        let claimed = claimed_issuer(token)?;
        self.0
            .iter()
            .find(|issuer| same_issuer(&issuer.iss, &claimed))
    }

    /// Makes sure that the keys for a token are here, if they can be had.
    pub(crate) async fn prepare(&self, token: &str) {
        let Some(issuer) = self.of(token) else {
            return;
        };
        if let Err(error) = issuer.remote.open(token).await {
            tracing::debug!(issuer.name = issuer.name, %error, "A token of another issuer");
        }
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn texts(section: &Value, name: &str) -> Vec<String> {
    match section.get(name) {
        Some(Value::String(one)) if !one.is_empty() => vec![one.clone()],
        Some(Value::Array(many)) => {
            let texts = many.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

impl Issuer {
    fn read(
        name: &str,
        section: &Value,
        client: &Client,
        clock: &Clock,
    ) -> Result<Self, &'static str> {
        let text = |key: &str| {
            let text = section.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let mut audiences = texts(section, "audience");
        let issuer = match (text("issuer"), name) {
            (Some(issuer), _) => issuer,
            (None, "firebase") => {
                let project = text("project_id").ok_or("a project_id")?;
                let issuer = format!("https://securetoken.google.com/{project}");
                // One set of keys signs for all of Firebase's projects.
                audiences.push(project);
                issuer
            }
            (None, "auth0") => {
                let tenant = text("tenant").ok_or("a tenant")?;
                match text("tenant_region") {
                    Some(region) => format!("https://{tenant}.{region}.auth0.com"),
                    None => format!("https://{tenant}.auth0.com"),
                }
            }
            (None, "aws_cognito") => {
                let pool = text("user_pool_id").ok_or("a user_pool_id")?;
                let region = text("user_pool_region").ok_or("a user_pool_region")?;
                format!("https://cognito-idp.{region}.amazonaws.com/{pool}")
            }
            (None, "clerk") => format!("https://{}", text("domain").ok_or("a domain")?),
            (None, "workos") => text("issuer_url").ok_or("an issuer_url")?,
            (None, _) => return Err("an issuer"),
        };
        let source = match text("jwks_url") {
            Some(address) => Source::Keys(address),
            None => Source::Discovery(issuer.clone()),
        };
        let role_claim = text("role_claim").unwrap_or_else(|| ".role".to_owned());
        let role = text("role");
        if role.as_deref().is_some_and(is_ours_alone) {
            return Err("a role that is not an administrator's");
        }
        Ok(Self {
            name: name.to_owned(),
            iss: issuer,
            remote: Remote::new(source, client.clone(), clock.clone()),
            audiences,
            role_claim: RolePath::parse(&role_claim).ok_or("a role_claim such as .role")?,
            role: role.map(Into::into),
        })
    }

    /// The caller behind a token, and the last second at which it counts.
    pub(crate) fn caller(
        &self,
        token: &str,
        now: i64,
        anon_role: Option<&Arc<str>>,
    ) -> Result<(Caller, i64), TokenError> {
        let refused = |why| TokenError::Jwt(JwtError::Key(why));
        let known = self.remote.known();
        let known = known.ok_or_else(|| refused("The issuer's keys cannot be fetched"))?;
        let claims = known
            .keys
            .open(token)
            .map_err(|_| refused("None of the issuer's keys was able to decode the JWT"))?;
        // Our own tokens may be made to last; somebody else's end.
        if !claims.get("exp").is_some_and(Value::is_number) {
            return Err(TokenError::Jwt(JwtError::NotANumber("exp")));
        }
        let until = jwt::check_claims(&claims, None, now).map_err(TokenError::Jwt)?;
        self.check_audience(&claims).map_err(TokenError::Jwt)?;
        let mut claims = Value::Object(claims);
        let said = self.role_claim.find(&claims);
        let role: Arc<str> = match (&self.role, said, anon_role) {
            (Some(fixed), _, _) => Arc::clone(fixed),
            (None, Some(said), _) => said.into(),
            (None, None, Some(anon)) => Arc::clone(anon),
            (None, None, None) => return Err(TokenError::NoRole),
        };
        if is_ours_alone(&role) {
            return Err(refused("Another issuer cannot make administrators"));
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("role".to_owned(), Value::String(role.to_string()));
        }
        let authenticated = anon_role != Some(&role);
        let claims = claims.to_string().into();
        Ok((
            Caller {
                role,
                claims,
                authenticated,
                read_only: false,
            },
            until,
        ))
    }

    /// Unlike in our own tokens, one must be named. Cognito's access tokens
    /// name the client instead.
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), JwtError> {
        if self.audiences.is_empty() {
            return Ok(());
        }
        let claims = Value::Object(claims.clone());
        let mut named = texts(&claims, "aud");
        if named.is_empty() {
            named = texts(&claims, "client_id");
        }
        if named.iter().any(|name| self.audiences.contains(name)) {
            return Ok(());
        }
        Err(JwtError::NotInAudience)
    }
}

/// Roles that pass policies, and those that own schemas: only our own keys
/// make these.
fn is_ours_alone(role: &str) -> bool {
    const OWNERS: [&str; 3] = ["service_role", "postgres", "authenticator"];
    OWNERS.contains(&role) || role.starts_with("supabase_") || role.starts_with("pg_")
}

#[cfg(test)]
mod tests;
