//! Beginning turns, going back, forking: each one statement as the caller,
//! which makes rows and jobs together.

use kernel::Caller;
use pg::SqlBuf;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{AppError, Result};
use crate::files;
use crate::store::Store;

/// Characters of a prompt at most: longer texts belong into files.
const PROMPT_CHARS_MAX: usize = 20_000;
/// Characters of a client's own name for a session, as the table has it.
const NAME_CHARS_MAX: usize = 200;

/// A session by its two names.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Opened {
    pub(crate) id: Uuid,
    /// Whether it was there before.
    pub(crate) exists: bool,
}

/// A turn that was begun.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Begun {
    pub(crate) job_id: Option<Uuid>,
    pub(crate) message_id: Uuid,
    /// Not if the same key was sent before.
    pub(crate) is_new: bool,
}

/// The caller's session of this name; made if there is none.
pub(crate) async fn open(store: &Store, caller: &Caller, name: &str) -> Result<Opened> {
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || name.contains('\0') {
        return Err(AppError::bad("A session_id has 1 to 200 characters"));
    }
    let sql = SqlBuf::fixed(include_str!("../sql/open_session.sql")).bind(name.to_owned());
    let what = "Failed to open the session";
    // The one who comes second, of two at once, finds the first one's.
    for last in [false, true] {
        match store.document(caller, what, sql.clone()).await {
            Ok(Some(opened)) => {
                let opened: Opened = opened;
                files::begin(store, caller, opened.id).await?;
                return Ok(opened);
            }
            Ok(None) => {}
            Err(AppError::Refused { code, .. }) if code == "conflict" && !last => {}
            Err(error) => return Err(error),
        }
    }
    Err(AppError::not_found("session"))
}

/// Keeps what the user said and begins the turn that answers it.
pub(crate) async fn begin(
    store: &Store,
    caller: &Caller,
    session: Uuid,
    text: &str,
    key: Option<String>,
) -> Result<Begun> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > PROMPT_CHARS_MAX || text.contains('\0') {
        return Err(AppError::bad("A prompt has 1 to 20000 characters"));
    }
    if key
        .as_deref()
        .is_some_and(|key| key.is_empty() || key.chars().count() > NAME_CHARS_MAX)
    {
        return Err(AppError::bad("A key has 1 to 200 characters"));
    }
    let sql = SqlBuf::fixed("SELECT lovable.begin_turn($1::uuid, $2, $3)")
        .bind(session.to_string())
        .bind(text.to_owned())
        .bind(key);
    let begun = store
        .document(caller, "Failed to begin the turn", sql)
        .await?;
    begun.ok_or_else(|| AppError::not_found("session"))
}

/// Back to a checkpoint, files and messages.
pub(crate) async fn restore(
    store: &Store,
    caller: &Caller,
    session: Uuid,
    checkpoint: Uuid,
) -> Result<Value> {
    let sql = SqlBuf::fixed("SELECT lovable.restore($1::uuid, $2::uuid)")
        .bind(session.to_string())
        .bind(checkpoint.to_string());
    let done = store
        .document(caller, "Failed to restore the checkpoint", sql)
        .await?;
    done.ok_or_else(|| AppError::not_found("checkpoint"))
}

/// A new session that begins at a checkpoint.
pub(crate) async fn fork(
    store: &Store,
    caller: &Caller,
    checkpoint: Uuid,
    title: Option<String>,
) -> Result<Value> {
    let sql = SqlBuf::fixed("SELECT lovable.fork($1::uuid, $2)")
        .bind(checkpoint.to_string())
        .bind(title);
    let done = store
        .document(caller, "Failed to fork the checkpoint", sql)
        .await?;
    done.ok_or_else(|| AppError::not_found("checkpoint"))
}

/// All that is shown of a session.
pub(crate) async fn state(store: &Store, caller: &Caller, session: Uuid) -> Result<Value> {
    let sql = SqlBuf::fixed("SELECT lovable.state($1::uuid)").bind(session.to_string());
    let state = store
        .document(caller, "Failed to read the session", sql)
        .await?;
    state.ok_or_else(|| AppError::not_found("session"))
}

/// Installs and shows what the files are now.
pub(crate) async fn refresh(store: &Store, caller: &Caller, session: Uuid) -> Result<Uuid> {
    let sql = SqlBuf::fixed(include_str!("../sql/refresh.sql")).bind(session.to_string());
    let job = store
        .document(caller, "Failed to begin the build", sql)
        .await?;
    job.ok_or_else(|| AppError::not_found("session"))
}
