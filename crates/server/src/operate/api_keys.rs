//! Making, listing, rotating and revoking platform API keys, on any database
//! that can be opened. Servers hear of it by themselves.

use pg::{Session, SqlBuf};
use serde_json::Value;

use super::Database;
use crate::dev::{DevError, connect, platform};

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// For people; unique.
    pub name: String,
    /// The database role it stands for.
    pub role: String,
    /// The user it stands for.
    pub sub: Option<String>,
    /// More claims, as a JSON object.
    pub claims: Option<String>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// Whether it may only read.
    pub read_only: bool,
    /// Requests in a minute.
    pub per_minute: Option<u32>,
    /// How long it lasts, as PostgreSQL writes intervals.
    pub expires_in: Option<String>,
}

/// Why nothing was done with a key.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] DevError),
    /// The key cannot be as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// There is none like this.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// The database failed.
    #[error("could not work on the API keys")]
    Failed(#[source] pg::Error),
}

impl Database {
    /// Makes a key; the answer is the only place its secret is ever in.
    pub async fn create_key(&self, new: &NewKey) -> Result<Value, ApiKeyError> {
        let sql = SqlBuf::fixed(include_str!("key_create.sql"))
            .bind(new.name.clone())
            .bind(new.role.clone())
            .bind(new.sub.clone())
            .bind(new.claims.clone().unwrap_or_else(|| "{}".to_owned()))
            .bind(new.scopes.join(","))
            .bind(new.read_only.to_string())
            .bind(new.per_minute.map(|number| number.to_string()))
            .bind(new.expires_in.clone());
        let made = self.on_keys(sql).await?;
        Ok(made.into_iter().next().unwrap_or_default())
    }

    /// Every key that is not revoked.
    pub async fn list_keys(&self) -> Result<Vec<Value>, ApiKeyError> {
        let sql = SqlBuf::fixed(include_str!("key_list.sql"));
        self.on_keys(sql).await
    }

    /// Another secret for a key, by id, name or prefix; the one before it
    /// stays valid for `overlap`.
    pub async fn rotate_key(&self, which: &str, overlap: &str) -> Result<Value, ApiKeyError> {
        self.on_one_key(which, include_str!("key_rotate.sql"), Some(overlap))
            .await
    }

    /// Ends a key, by id, name or prefix.
    pub async fn revoke_key(&self, which: &str) -> Result<Value, ApiKeyError> {
        self.on_one_key(which, include_str!("key_revoke.sql"), None)
            .await
    }

    async fn on_one_key(
        &self,
        which: &str,
        sql: &'static str,
        more: Option<&str>,
    ) -> Result<Value, ApiKeyError> {
        let mut session = self.keys_session().await?;
        let done = async {
            let found = session
                .query(include_str!("key_find.sql"), &[Some(which)])
                .await
                .map_err(refused)?;
            let unknown = || ApiKeyError::Unknown(which.to_owned());
            let id = found.scalar().ok_or_else(unknown)?;
            let mut sql = SqlBuf::fixed(sql).bind(id.to_owned());
            if let Some(more) = more {
                sql = sql.bind(more.to_owned());
            }
            let done = run(&mut session, &sql).await?;
            done.into_iter().next().ok_or_else(unknown)
        };
        let done = done.await;
        session.close().await;
        done
    }

    pub(super) async fn on_keys(&self, sql: SqlBuf) -> Result<Vec<Value>, ApiKeyError> {
        let mut session = self.keys_session().await?;
        let done = run(&mut session, &sql).await;
        session.close().await;
        done
    }

    /// As the owner of our schema, which may be older than we are.
    async fn keys_session(&self) -> Result<Session, ApiKeyError> {
        let mut session = connect(&self.targets.platform)
            .await
            .map_err(DevError::from)?;
        platform(&mut session).await?;
        Ok(session)
    }
}

/// One statement whose rows are JSON.
async fn run(session: &mut Session, sql: &SqlBuf) -> Result<Vec<Value>, ApiKeyError> {
    let rows = session.query_buf(sql).await.map_err(refused)?;
    let read = |text| serde_json::from_str(text).ok();
    Ok(rows.iter().filter_map(|row| read(row.get(0)?)).collect())
}

/// What was asked for wrongly is the user's to mend; the rest is not.
fn refused(error: pg::Error) -> ApiKeyError {
    match error.db() {
        // Data exceptions: bad intervals, UUIDs, JSON, and what our functions
        // refuse.
        Some(said) if said.code.starts_with("22") => ApiKeyError::Refused(said.message.clone()),
        _ => ApiKeyError::Failed(error),
    }
}
