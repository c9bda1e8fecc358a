//! Resumable uploads: the TUS protocol, version 1.0.0, as Supabase's clients
//! use it (`/storage/v1/upload/resumable`), with checksums and concatenation.
//!
//! Start at `routes`, which is the protocol; `upload` says what may happen to
//! an upload and is pure, `rows` keeps it, `hold` makes it one request's,
//! `receive` takes bytes in.
//!
//! Invariants: an offset is told to a client, and written to the row, after the
//! bytes before it are durable; an upload is touched by one request at a time;
//! only who began an upload sees it; policies and limits are asked before the
//! first byte and again when the object comes to be.

mod checksum;
mod error;
mod headers;
mod hold;
mod location;
mod metadata;
mod objects;
mod receive;
mod routes;
mod rows;
mod sweep;
mod turns;
mod upload;
mod who;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;

use crate::blobs::{BlobError, BlobId};
use crate::room::Storage;
use error::TusError;
use routes::Call;
use rows::Table;
use turns::Turns;

/// Where the room is mounted; the gateway has taken it off the path.
const ROOM_PREFIX: &str = "/storage/v1";
/// Random bytes of an upload's address: 192 bits are not guessed.
const ID_BYTES: usize = 24;

/// Resumable uploads.
pub(crate) struct Tus {
    room: Arc<Storage>,
    table: Table,
    turns: Arc<Turns>,
}

impl Storage {
    /// Resumable uploads, under `/upload/resumable`.
    pub(crate) fn resumable_router(self: &Arc<Self>) -> Router {
        Tus::start(Arc::clone(self), self.blobs.alone_since()).router()
    }
}

impl Tus {
    /// Puts them together, and starts what works beside requests. Whoever
    /// held an upload before `alone_since` is dead.
    pub(crate) fn start(room: Arc<Storage>, alone_since: Option<BlobId>) -> Arc<Self> {
        let tus = Arc::new(Self {
            table: Table {
                store: room.store.clone(),
                alone_since,
            },
            turns: Arc::default(),
            room,
        });
        let tasks = &tus.room.tasks;
        let sweeping = sweep::keep_swept(Arc::clone(&tus), tasks.token());
        tasks.spawn("sweep_resumable_uploads", sweeping);
        tus
    }

    /// Their routes, within the room.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/upload/resumable", any(all))
            .route("/upload/resumable/", any(all))
            .route("/upload/resumable/{id}", any(one))
            .route("/upload/resumable/sign", any(all_signed))
            .route("/upload/resumable/sign/", any(all_signed))
            .route("/upload/resumable/sign/{id}", any(one_signed))
            .with_state(self)
    }

    fn new_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.room.rng.bytes::<ID_BYTES>())
    }

    fn expires_at(&self) -> Timestamp {
        let now = self.room.clock.now();
        now.checked_add(self.room.config.resumable_expire_after)
            .unwrap_or(Timestamp::MAX)
    }

    /// Removes what was not finished. What fails is found by the store's own
    /// sweep: its row is gone.
    async fn discard(&self, blob: &str) {
        let Ok(id) = blob.parse() else { return };
        if let Err(error) = self.room.blobs.discard(id).await {
            tracing::debug!(%error, "The bytes of an upload that ended are still there");
        }
    }
}

/// Bytes that could not be read or written; logged here.
fn bytes_failed(error: &BlobError) -> TusError {
    match error {
        // The row counts bytes that are not there: a database that was restored
        // without them. The client has to begin again.
        BlobError::NotFound | BlobError::Offset { .. } => TusError::Lost,
        BlobError::Full => TusError::Refused {
            status: StatusCode::INSUFFICIENT_STORAGE,
            message: "No space is left for files\n".to_owned(),
        },
        other => {
            tracing::error!(error = %other, "The bytes of an upload could not be read or written");
            TusError::Internal
        }
    }
}

async fn all(State(tus): State<Arc<Tus>>, request: Request) -> Response {
    routes::answer(tus, call(false, None, request)).await
}

async fn one(State(tus): State<Arc<Tus>>, Path(id): Path<String>, request: Request) -> Response {
    routes::answer(tus, call(false, Some(id), request)).await
}

async fn all_signed(State(tus): State<Arc<Tus>>, request: Request) -> Response {
    routes::answer(tus, call(true, None, request)).await
}

async fn one_signed(
    State(tus): State<Arc<Tus>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    routes::answer(tus, call(true, Some(id), request)).await
}

fn call(signed: bool, id: Option<String>, request: Request) -> Call {
    let (parts, body) = request.into_parts();
    Call {
        signed,
        id,
        parts,
        body,
    }
}

#[cfg(test)]
mod tests;
