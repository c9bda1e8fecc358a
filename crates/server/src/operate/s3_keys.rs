//! Making, listing and revoking access keys of the S3 protocol, on any database
//! that can be opened. Their secrets are not in it.

use pg::SqlBuf;
use serde_json::Value;

use super::{ApiKeyError, Database};

/// What a new access key shall be.
#[derive(Clone, Debug)]
pub struct NewS3Key {
    /// What it is called in requests.
    pub access_key: String,
    /// The database role it acts as.
    pub role: String,
    /// Claims for policies, as a JSON object.
    pub claims: Option<String>,
    /// Whether it may only read.
    pub read_only: bool,
    /// For people.
    pub description: Option<String>,
}

impl Database {
    /// Writes a key down.
    pub async fn create_s3_key(&self, new: &NewS3Key) -> Result<Value, ApiKeyError> {
        let sql = SqlBuf::fixed(include_str!("s3_key_create.sql"))
            .bind(new.access_key.clone())
            .bind(new.role.clone())
            .bind(new.claims.clone())
            .bind(new.read_only.to_string())
            .bind(new.description.clone());
        let made = self.on_keys(sql).await?.into_iter().next();
        made.ok_or_else(|| ApiKeyError::Refused(format!("there is no role `{}`", new.role)))
    }

    /// Every key that is not revoked.
    pub async fn list_s3_keys(&self) -> Result<Vec<Value>, ApiKeyError> {
        let sql = SqlBuf::fixed(include_str!("s3_key_list.sql"));
        self.on_keys(sql).await
    }

    /// Ends a key, for the next request already.
    pub async fn revoke_s3_key(&self, access_key: &str) -> Result<Value, ApiKeyError> {
        let sql = SqlBuf::fixed(include_str!("s3_key_revoke.sql")).bind(access_key.to_owned());
        let ended = self.on_keys(sql).await?.into_iter().next();
        ended.ok_or_else(|| ApiKeyError::Unknown(access_key.to_owned()))
    }
}
