//! Functions of the project that are asked: to change a token's claims, to
//! refuse a user, to send a mail. `pg-functions://database/schema/function` is
//! called in the database, as `supabase_auth_admin`, with one JSON argument.

use pg::SqlBuf;
use serde_json::Value;

use crate::config::Hook;
use crate::error::{AuthError, Result, code};
use crate::room::Auth;
use crate::store::Tx;

const DATABASE_SCHEME: &str = "pg-functions://";
/// GoTrue gives a function as long.
const TIMEOUT: &str = "SET LOCAL statement_timeout TO '2000'";

impl Auth {
    /// Asks within a transaction. An answer with `error` is a refusal.
    pub(crate) async fn ask(&self, tx: &Tx, hook: &Hook, input: &Value) -> Result<Value> {
        let Some(path) = hook.uri.strip_prefix(DATABASE_SCHEME) else {
            return Err(AuthError::Internal("Hooks by HTTP are not available here"));
        };
        let mut parts = path.split('/').skip(1);
        let (Some(schema), Some(function)) = (parts.next(), parts.next()) else {
            return Err(AuthError::Internal("Invalid URI of a hook"));
        };
        tx.run(SqlBuf::fixed(TIMEOUT)).await?;
        let mut call = SqlBuf::new();
        call.lit("SELECT ").qualified(schema, function).lit("(");
        call.param(input.to_string()).lit("::jsonb)");
        let rows = tx.run_for("Error running hook URI", call).await?;
        tx.run(SqlBuf::fixed("SET LOCAL statement_timeout TO DEFAULT"))
            .await?;
        let output: Value = rows
            .scalar()
            .map_or(Ok(Value::Null), serde_json::from_str)
            .map_err(|_| AuthError::Internal("Error unmarshaling JSON output of a hook"))?;
        refusal(&output)?;
        Ok(output)
    }

    /// Asks whether somebody may become a user, if anybody is to be asked.
    pub(crate) async fn before_user_created(&self, tx: &Tx, user: &Value) -> Result<()> {
        if let Some(hook) = &self.config.hooks.before_user_created {
            let metadata = serde_json::json!({"name": "before-user-created"});
            self.ask(
                tx,
                hook,
                &serde_json::json!({"metadata": metadata, "user": user}),
            )
            .await?;
        }
        Ok(())
    }
}

/// `{"error": {"http_code": 403, "message": "…"}}`
fn refusal(output: &Value) -> Result<()> {
    let Some(error) = output.get("error").filter(|error| error.is_object()) else {
        return Ok(());
    };
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if message.is_empty() {
        return Ok(());
    }
    let status = error
        .get("http_code")
        .and_then(Value::as_u64)
        .unwrap_or(500);
    let status = u16::try_from(status).ok();
    let status = status.and_then(|status| http::StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    Err(AuthError::new(status, code::UNKNOWN, message.to_owned()))
}
