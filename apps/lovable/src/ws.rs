//! The original's web socket, `/ws`: the same envelope, frames and order.
//!
//! `socket` is one connection: it begins turns and watches the session's log.
//! `frames` makes frames of what is in the log, purely, so a socket that comes
//! back, or a second one, shows the same turn with the same ids.

mod frames;
mod socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use axum::routing::get;

use crate::call::caller;
use crate::error::{AppError, Result};
use crate::room::Lovable;

/// What a client sends is a prompt.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// What may wait to be sent before the socket is given up: a project's files.
const UNSENT_BYTES_MAX: usize = 2 << 20;

/// At `/ws`.
pub(crate) fn router() -> Router<Arc<Lovable>> {
    Router::new().route("/", get(open))
}

/// The token is in `auth_token`, which the gateway takes for the caller's.
async fn open(State(app): State<Arc<Lovable>>, request: Request) -> Result<Response> {
    let (mut parts, _) = request.into_parts();
    let caller = caller(&parts, &app)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|_| AppError::bad("This address is for web sockets"))?;
    let serving = move |wire| async move {
        let tasks = app.tasks.clone();
        // So that a stop waits for the farewell.
        let _ = tasks
            .spawn(
                "lovable-socket",
                socket::Socket::new(app, caller, wire).run(),
            )
            .await;
    };
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_write_buffer_size(UNSENT_BYTES_MAX)
        .on_upgrade(serving))
}
