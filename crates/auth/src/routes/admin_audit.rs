//! `GET /admin/audit`: what happened, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use crate::error::{AuthError, Result, json_response};
use crate::request::{Admin, Call};
use crate::room::Auth;
use crate::routes::pages::{Page, with_page_headers};

pub(crate) async fn list(State(auth): State<Arc<Auth>>, _: Admin, call: Call) -> Result<Response> {
    let page = Page::of(&call)?;
    let query = call.asked("query").unwrap_or_default();
    let columns: &[&str] = match query.split_once(':').map_or("", |(scope, _)| scope) {
        "author" => &["actor_username", "actor_name"],
        "action" => &["action"],
        "type" => &["log_type"],
        _ if query.is_empty() => &[],
        _ => {
            return Err(AuthError::invalid(format!("Invalid query scope: {query}")));
        }
    };
    let wanted = query.split_once(':').map_or("", |(_, value)| value);
    let (entries, total) = auth.store.audit_entries(columns, wanted, &page).await?;
    let body = Value::Array(entries);
    Ok(with_page_headers(
        json_response(StatusCode::OK, &body),
        &auth,
        &call,
        &page,
        total,
    ))
}
