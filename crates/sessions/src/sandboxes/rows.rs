//! What the database knows of sandboxes. What a caller sees and uses is asked
//! of the policies, as the caller; states are written by the engine.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kernel::Caller;
use pg::{Pool, RequestTx, Rows as Answer, SqlBuf};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Result, SessionsError};
use crate::store::Store;

/// Without a sign of life for so long a server is gone, and what it ran.
const SILENT: &str = "90 seconds";

/// A row of `work.sandboxes`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Seen {
    /// Its id in tables.
    pub id: Uuid,
    /// Its session.
    pub session_id: Uuid,
    /// Its id in addresses.
    pub sandbox_id: String,
    /// `creating`, `active`, `paused`, `stopped` or `error`.
    pub status: String,
    /// Where its page is.
    pub url: Option<String>,
    /// What it began as.
    pub template: Option<String>,
    /// What keeps it in.
    pub strength: Option<String>,
    /// Which server has it.
    pub node: Option<String>,
    /// Whether its pages ask for a link.
    pub private: bool,
    /// Whether being used makes it live on.
    pub stays: bool,
    /// What it may use.
    pub limits: Value,
    /// Until when it lives.
    pub expires_at: Option<String>,
    /// Why it is over.
    pub reason: Option<String>,
    /// The owner's own notes.
    pub metadata: Value,
    /// Since when it is there.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Whose the session is.
    #[serde(skip)]
    pub owner: Option<String>,
}

impl Seen {
    /// Of a sandbox whose row nobody looked at.
    pub(super) fn unknown(id: &str, session: Uuid) -> Self {
        Self {
            id: Uuid::nil(),
            session_id: session,
            sandbox_id: id.to_owned(),
            status: "active".to_owned(),
            url: None,
            template: None,
            strength: None,
            node: None,
            private: false,
            stays: false,
            limits: Value::Null,
            expires_at: None,
            reason: None,
            metadata: Value::Null,
            created_at: String::new(),
            ended_at: None,
            owner: None,
        }
    }
}

/// Statements and where they run.
pub(crate) struct Rows {
    pool: Pool,
    role: Arc<str>,
    pub(crate) store: Store,
    /// This server, as rows name it.
    pub(crate) node: String,
}

impl Rows {
    pub(super) fn new(pool: Pool, role: Arc<str>, requests: Pool, node: String) -> Self {
        Self {
            pool,
            role,
            store: Store::new(requests),
            node,
        }
    }

    async fn engine(&self, sql: SqlBuf) -> Result<Answer> {
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request.push(sql);
        let rows = request.run(&self.pool).await;
        let mut rows = rows.map_err(|error| SessionsError::of(error, true))?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// A new one in a session that the caller may change.
    pub(super) async fn open(
        &self,
        caller: &Caller,
        session: Uuid,
        most: u32,
        fields: Value,
    ) -> Result<Seen> {
        let sql = SqlBuf::fixed(include_str!("../../sql/sandbox_session.sql"));
        let rows = self
            .store
            .write(caller, sql.bind(session.to_string()))
            .await?;
        let row = rows.first();
        let row = row.ok_or_else(|| SessionsError::not_found("session"))?;
        let owner = row.get(1).map(str::to_owned);
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(b) FROM work_engine.open_sandbox($1::uuid, $2::text, $3::text, $4::integer, $5::jsonb) AS b",
        );
        let sql = sql
            .bind(session.to_string())
            .bind(owner.clone())
            .bind(self.node.clone())
            .bind(most.to_string())
            .bind(fields.to_string());
        let rows = self.engine(sql).await?;
        read(rows.scalar(), owner)
    }

    /// The row as the caller sees it.
    pub(super) async fn see(
        &self,
        caller: &Caller,
        session: Option<Uuid>,
        id: &str,
    ) -> Result<Seen> {
        let sql = SqlBuf::fixed(include_str!("../../sql/own_sandbox.sql"));
        let sql = sql
            .bind(id.to_owned())
            .bind(session.map(|id| id.to_string()));
        let rows = self.store.read(caller, sql).await?;
        let row = rows.first();
        let row = row.ok_or_else(|| SessionsError::not_found("sandbox"))?;
        read(row.get(0), row.get(2).map(str::to_owned))
    }

    /// The one of a session that is not over.
    pub(super) async fn latest(&self, caller: &Caller, session: Uuid) -> Result<Option<String>> {
        let sql = SqlBuf::fixed(include_str!("../../sql/latest_sandbox.sql"));
        let rows = self
            .store
            .read(caller, sql.bind(session.to_string()))
            .await?;
        Ok(rows.scalar().map(str::to_owned))
    }

    /// The caller's that are not over.
    pub(super) async fn mine(&self, caller: &Caller, limit: u32, offset: u64) -> Result<Vec<Seen>> {
        let sql = SqlBuf::fixed(include_str!("../../sql/my_sandboxes.sql"));
        let sql = sql.bind(limit.to_string()).bind(offset.to_string());
        let rows = self.store.read(caller, sql).await?;
        serde_json::from_str(rows.scalar().unwrap_or("[]")).map_err(unreadable)
    }

    /// The next state of one that this server has; none when it is over or
    /// somebody else's.
    pub(super) async fn change(
        &self,
        id: &str,
        status: &str,
        fields: Value,
    ) -> Result<Option<Seen>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(b) FROM work_engine.change_sandbox($1::text, $2::text, $3::text, $4::jsonb) AS b",
        );
        let sql = sql
            .bind(id.to_owned())
            .bind(self.node.clone())
            .bind(status.to_owned())
            .bind(fields.to_string());
        let rows = self.engine(sql).await?;
        rows.scalar().map(|text| read(Some(text), None)).transpose()
    }

    /// Ids of those that must end, and why.
    pub(super) async fn look(
        &self,
        present: &[String],
        used: &[String],
    ) -> Result<Vec<(String, String)>> {
        let sql = SqlBuf::fixed(
            "SELECT l.sandbox_id, l.why FROM work_engine.look_at_sandboxes($1::text, \
             ARRAY(SELECT jsonb_array_elements_text($2::jsonb)), ARRAY(SELECT jsonb_array_elements_text($3::jsonb)), $4::interval) AS l",
        );
        let sql = sql
            .bind(self.node.clone())
            .bind(json!(present).to_string())
            .bind(json!(used).to_string())
            .bind(SILENT.to_owned());
        let rows = self.engine(sql).await?;
        let over = rows.iter().filter_map(|row| {
            let (id, why) = (row.get(0)?, row.get(1)?);
            Some((id.to_owned(), why.to_owned()))
        });
        Ok(over.collect())
    }

    /// What ran on this machine before this server did is over.
    pub(super) async fn forget(&self, machine: &str) -> Result<u64> {
        let sql = SqlBuf::fixed("SELECT work_engine.forget_sandboxes($1::text, $2::text)");
        let sql = sql.bind(machine.to_owned()).bind(self.node.clone());
        let rows = self.engine(sql).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

/// Seconds to live, as the functions take them.
pub(super) fn seconds(span: Duration) -> Value {
    json!(span.as_secs().max(1))
}

fn read(text: Option<&str>, owner: Option<String>) -> Result<Seen> {
    let text = text.ok_or_else(|| SessionsError::not_found("sandbox"))?;
    let mut seen: Seen = serde_json::from_str(text).map_err(unreadable)?;
    seen.owner = owner;
    Ok(seen)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn unreadable(error: serde_json::Error) -> SessionsError {
    tracing::error!(%error, "A row of work.sandboxes is not as written");
    SessionsError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server failed",
    )
}
