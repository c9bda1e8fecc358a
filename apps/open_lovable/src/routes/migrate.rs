//! `/api/v2/migrate`: a conversation state becomes a session, once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::room::OpenLovable;
use crate::state::Imported;
use crate::store::json;

const WHAT: &str = "Failed to migrate conversation state";
/// As many as one call of the database appends.
const AT_ONCE: usize = 1000;

/// All of it in one transaction, and nothing twice.
pub(crate) async fn migrate(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let body = call.object()?;
    let state = body
        .get("conversationState")
        .filter(|state| !state.is_null());
    let state = state.ok_or_else(|| ApiError::bad("conversationState is required"))?;
    let import = Imported::read(state)?;
    let named = |sql| {
        SqlBuf::fixed(sql)
            .bind(import.session.clone())
            .bind(import.key.clone())
    };
    let mut statements = vec![
        named(include_str!("../../sql/migrate_session.sql"))
            .bind(import.title.clone())
            .bind(import.metadata.to_string())
            .bind(import.started.clone())
            .bind(import.updated.clone()),
    ];
    for messages in import.messages.chunks(AT_ONCE) {
        let sql = named(include_str!("../../sql/migrate_messages.sql"));
        statements.push(sql.bind(Value::from(messages.to_vec()).to_string()));
    }
    statements.push(named(include_str!("../../sql/migrated.sql")));
    let rows = app.store.all(&call.caller, WHAT, statements).await?;
    let session = rows.scalar();
    let session = session.ok_or_else(|| ApiError::new(StatusCode::CONFLICT, WHAT))?;
    let body = json!({
        "success": true, "message": "Conversation state migrated successfully", "sessionId": session,
    });
    Ok(json(StatusCode::OK, body.to_string()))
}
