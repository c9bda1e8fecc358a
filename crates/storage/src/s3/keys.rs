//! Who signed: keys of the project, and users by their tokens.
//!
//! A key's secret is nowhere: it is made of the project's secret and the key's
//! id whenever it is needed, so a copy of the database signs nothing. What a
//! key is allowed is in `storage_engine.s3_keys`; it acts as a role, usually
//! `service_role`.
//!
//! With a session token the request is a user's: signed with the project's
//! anonymous key, which is public, and proven by the token.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use kernel::{Caller, Secret};
use pg::{Rows, SqlBuf};
use ring::hmac;
use serde_json::{Value, json};

use super::error::{Result, S3Error};
use super::sigv4::{ChunkKey, Claim, Target};
use crate::ports::Tokens;
use crate::room::Storage;
use crate::who::{Who, operations};

/// What this door needs beside the room.
#[derive(Clone, Debug)]
pub struct S3 {
    /// The region that clients sign for; `us-east-1`, `auto` and `local` will
    /// do as well.
    pub region: String,
    /// Of the project, the same on all its nodes; none where keys that are rows
    /// open nothing.
    pub secret: Option<Secret>,
    /// The project's public keys: what users sign with.
    pub anon_keys: Vec<Secret>,
    /// Keys that are settings, which act as `service_role`.
    pub fixed: Vec<(String, Secret)>,
    /// Who a token is.
    pub tokens: Arc<dyn Tokens>,
}

impl S3 {
    /// A door that nobody opens.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            region: "local".to_owned(),
            secret: None,
            anon_keys: Vec::new(),
            fixed: Vec::new(),
            tokens: Arc::new(Nobody),
        }
    }
}

#[derive(Debug)]
struct Nobody;

impl Tokens for Nobody {
    fn caller<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Caller, String>> {
        Box::pin(std::future::ready(Err("nobody has tokens".to_owned())))
    }
}

/// The secret that belongs to an access key of this project.
#[must_use]
pub fn secret_of(project: &Secret, access_key: &str) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, project.expose().as_bytes());
    let tag = hmac::sign(&key, format!("ferrobase s3 key {access_key}").as_bytes());
    let bytes = tag.as_ref().get(..30).unwrap_or_default();
    Secret::new(STANDARD.encode(bytes))
}

/// Whoever signed the request, if the signature holds.
pub(crate) async fn signer(
    room: &Storage,
    claim: &Claim,
    target: &Target<'_>,
) -> Result<(Caller, ChunkKey)> {
    claim.check_time(room.clock.now())?;
    let regions = [&*room.s3.region, "us-east-1", "auto", "local", ""];
    if !regions.contains(&&*claim.region) {
        return Err(S3Error::denied("Invalid Region"));
    }
    if let Some(token) = &claim.session_token {
        let keys = room.s3.anon_keys.iter();
        let key = keys
            .map(|key| claim.verify(key.expose(), target))
            .find(Result::is_ok);
        let key = key.unwrap_or_else(|| Err(S3Error::mismatch()))?;
        let caller = room.s3.tokens.caller(token).await;
        let caller = caller.map_err(|why| S3Error::bad("InvalidJWT", why))?;
        return Ok((caller, key));
    }
    let (caller, secret) = key(room, &claim.access_key).await?;
    let key = claim.verify(secret.expose(), target)?;
    Ok((caller, key))
}

async fn key(room: &Storage, access_key: &str) -> Result<(Caller, Secret)> {
    let mut fixed = room.s3.fixed.iter();
    if let Some((_, secret)) = fixed.find(|(id, _)| id == access_key) {
        return Ok((acting_as("service_role", None, false), secret.clone()));
    }
    let unknown = || {
        let message = "The Access Key Id you provided does not exist in our records.";
        S3Error::new(http::StatusCode::FORBIDDEN, "InvalidAccessKeyId", message)
    };
    // It is asked for before the address is looked at.
    let project = room
        .s3
        .secret
        .as_ref()
        .filter(|_| !access_key.contains('\0'));
    let project = project.ok_or_else(unknown)?;
    let sql = SqlBuf::fixed(
        "SELECT role, claims, reads FROM storage_engine.s3_keys \
         WHERE access_key = $1 AND revoked_at IS NULL",
    );
    let own = Who::store(operations::S3_GET_BUCKET);
    let rows = room
        .store
        .read(&own, vec![sql.bind(access_key.to_owned())])
        .await?;
    let row = rows.first().and_then(Rows::first).ok_or_else(unknown)?;
    let caller = acting_as(
        row.get(0).unwrap_or_default(),
        row.get(1),
        row.get(2) == Some("t"),
    );
    Ok((caller, secret_of(project, access_key)))
}

fn acting_as(role: &str, claims: Option<&str>, reads: bool) -> Caller {
    let claims: Option<Value> = claims.and_then(|text| serde_json::from_str(text).ok());
    let mut claims = claims.filter(Value::is_object).unwrap_or_else(|| json!({}));
    if let Some(object) = claims.as_object_mut() {
        object.insert("role".to_owned(), role.into());
    }
    Caller {
        claims: claims.to_string().into(),
        authenticated: true,
        read_only: reads,
        ..Caller::anonymous(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_belongs_to_its_key_and_project() {
        let project = Secret::new("one");
        let secret = secret_of(&project, "a");
        assert_eq!(secret.expose().len(), 40);
        assert_eq!(secret.expose(), secret_of(&project, "a").expose());
        assert_ne!(secret.expose(), secret_of(&project, "b").expose());
        assert_ne!(
            secret.expose(),
            secret_of(&Secret::new("two"), "a").expose()
        );
    }

    #[test]
    fn a_key_acts_as_its_role_whatever_its_claims_say() {
        let caller = acting_as(
            "reader",
            Some(r#"{"role": "service_role", "team": 1}"#),
            true,
        );
        assert_eq!(&*caller.claims, r#"{"role":"reader","team":1}"#);
        assert!(caller.read_only && caller.authenticated && &*caller.role == "reader");
    }
}
