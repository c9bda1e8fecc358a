//! The audit log: one row for each thing that happened to an account.

use pg::SqlBuf;
use serde_json::{Map, Value, json};

use super::Tx;
use crate::error::Result;
use crate::model::User;
use crate::routes::pages::Page;

/// Who did it.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    id: String,
    name: String,
    full_name: Option<Value>,
    via_sso: bool,
}

impl Actor {
    /// A user themselves.
    pub(crate) fn user(user: &User) -> Self {
        let name = if user.phone.is_empty() {
            &user.email
        } else {
            &user.phone
        };
        Self {
            id: user.id.to_string(),
            name: name.clone(),
            full_name: user.user_metadata.get("full_name").cloned(),
            via_sso: user.is_sso_user,
        }
    }

    /// An operator, known by a role alone.
    pub(crate) fn admin(role: &str) -> Self {
        Self {
            id: uuid::Uuid::nil().to_string(),
            name: role.to_owned(),
            full_name: None,
            via_sso: false,
        }
    }
}

/// The group that an action belongs to.
fn kind(action: &str) -> &'static str {
    match action {
        "login" | "logout" | "invite_accepted" => "account",
        "user_signedup" | "user_invited" | "user_deleted" => "team",
        "token_revoked" | "token_refreshed" => "token",
        "factor_in_progress"
        | "factor_unenrolled"
        | "challenge_created"
        | "verification_attempted"
        | "factor_deleted"
        | "factor_updated" => "factor",
        _ => "user",
    }
}

const ENTRIES: &str = include_str!("../../sql/audit_entries.sql");

fn matching(sql: &mut SqlBuf, columns: &[&str], wanted: &str) {
    if columns.is_empty() || wanted.is_empty() {
        return;
    }
    sql.lit(" AND (false");
    for column in columns {
        sql.lit(" OR a.payload->>")
            .text_literal(column)
            .lit(" ILIKE ");
        sql.param(format!("%{wanted}%"));
    }
    sql.lit(")");
}

pub(super) fn page(columns: &[&str], wanted: &str, page: &Page) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(ENTRIES);
    matching(&mut sql, columns, wanted);
    sql.lit(" ORDER BY a.created_at DESC LIMIT ")
        .param(page.limit().to_string());
    sql.lit("::bigint OFFSET ")
        .param(page.offset().to_string())
        .lit("::bigint");
    sql
}

pub(super) fn count(columns: &[&str], wanted: &str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("SELECT count(*) FROM auth.audit_log_entries AS a WHERE true");
    matching(&mut sql, columns, wanted);
    sql
}

impl Tx {
    /// Writes down that something happened. `action` is one of GoTrue's words.
    pub(crate) async fn audit(
        &self,
        actor: &Actor,
        action: &'static str,
        traits: Option<Value>,
        ip: &str,
    ) -> Result<()> {
        let mut payload = Map::new();
        payload.insert("action".to_owned(), action.into());
        payload.insert("actor_id".to_owned(), actor.id.as_str().into());
        if let Some(name) = &actor.full_name {
            payload.insert("actor_name".to_owned(), name.clone());
        }
        payload.insert("actor_username".to_owned(), actor.name.as_str().into());
        payload.insert("actor_via_sso".to_owned(), json!(actor.via_sso));
        payload.insert("log_type".to_owned(), kind(action).into());
        if let Some(traits) = traits {
            payload.insert("traits".to_owned(), traits);
        }
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_audit.sql"))
            .bind(self.uuid().to_string())
            .bind(Value::Object(payload).to_string())
            .bind(self.now.to_string())
            .bind(ip.to_owned());
        self.run_for("Error recording audit log entry", sql).await?;
        Ok(())
    }
}
