//! Signatures of uploads: tokens that somebody who may upload had made for one
//! object, good without any other proof.

use serde::Deserialize;
use serde_json::Value;

use super::Tus;
use super::error::Result;
use super::objects;
use crate::error::StorageError;

/// What a signature allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// Who had it made.
    pub(super) owner: Option<String>,
    /// Whether it allows replacing.
    pub(super) upsert: bool,
}

#[derive(Deserialize)]
struct Claims {
    url: String,
    scope: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    upsert: bool,
    exp: i64,
}

impl Tus {
    /// What this signature allows for this object.
    pub(super) fn signed(&self, token: &str, bucket: &str, name: &str) -> Result<Signed> {
        let opened = self.room.signer.open(token);
        let claims = opened.map_err(StorageError::invalid_jwt);
        let now = self.room.clock.now().as_second();
        let read = claims.and_then(|claims| read(claims, &format!("{bucket}/{name}"), now));
        read.map_err(|error| objects::of(&error))
    }
}

fn read(claims: Value, object: &str, now: i64) -> Result<Signed, StorageError> {
    let claims: Claims =
        serde_json::from_value(claims).map_err(|_| StorageError::invalid_signature(None))?;
    if claims.scope.as_deref() != Some("upload") {
        let words = "Token is not scoped for upload";
        return Err(StorageError::invalid_signature(Some(words)));
    }
    if claims.url != object {
        return Err(StorageError::invalid_signature(None));
    }
    if claims.exp <= now {
        let words = "\"exp\" claim timestamp check failed";
        return Err(StorageError::invalid_jwt(words));
    }
    Ok(Signed {
        owner: claims.owner,
        upsert: claims.upsert,
    })
}
