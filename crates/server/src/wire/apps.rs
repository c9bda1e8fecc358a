//! The apps that are asked for: what each is built from, and where it is.

pub(crate) mod drama;
pub(crate) mod lovable;

use std::sync::Arc;

use ::storage::{Storage, StorageError};
use kernel::Caller;
use omvee::{Asked, FileError, Files, Omvee, Stored};
use open_lovable::{OpenLovable, Parts};
use pg::Pool;
use pg::migrate::AppHistory;

use crate::config::Config;
use crate::gateway::{Access, Bodies, Dialect, Room, routed};

/// What the apps that are asked for keep in the database.
pub(crate) fn histories(config: &Config) -> impl Iterator<Item = &'static AppHistory> {
    let omvee = config.apps.omvee.then_some(&omvee::HISTORY);
    let drama = config.apps.drama.then_some(&::drama::HISTORY);
    let lovable = config.apps.lovable.map(|_| &::lovable::HISTORY);
    omvee.into_iter().chain(drama).chain(lovable)
}

/// Open Lovable's v2 API. It needs sessions and jobs, so there is none where
/// the database does not let us keep them.
pub(super) fn open_lovable(
    config: &Config,
    requests: &Pool,
    has_work: bool,
) -> Option<Arc<OpenLovable>> {
    let settings = config.apps.open_lovable?;
    if !has_work {
        tracing::warn!("Open Lovable is switched off, since jobs and sessions are");
        return None;
    }
    Some(OpenLovable::new(Parts {
        requests: requests.clone(),
        open: settings.open,
    }))
}

/// Where it is. It refuses callers itself, in its own shape; its clients know
/// no API keys.
pub(super) fn open_lovable_rooms(app: &Arc<OpenLovable>) -> [Room; 2] {
    let room = |name, prefix, router| Room {
        name,
        prefix,
        dialect: Dialect::Success,
        access: Access::Open,
        bodies: Bodies::Counted,
        service: routed(router),
    };
    [
        room("open_lovable", "/api/v2", Arc::clone(app).v2_router()),
        room(
            "open_lovable_state",
            "/api/conversation-state-v2",
            Arc::clone(app).conversation_router(),
        ),
    ]
}

/// OMVEE's projects and uploads. Songs are files, so there are none where the
/// database does not let us keep files.
pub(super) fn omvee(
    config: &Config,
    requests: &Pool,
    storage: Option<&Arc<Storage>>,
) -> Option<Arc<Omvee>> {
    if !config.apps.omvee {
        return None;
    }
    let Some(storage) = storage else {
        tracing::warn!("OMVEE is switched off, since files are");
        return None;
    };
    Some(Omvee::new(omvee::Parts {
        requests: requests.clone(),
        files: Arc::new(OmveeFiles(Arc::clone(storage))),
    }))
}

/// Where it is. It refuses callers itself, in its own shape; its clients show
/// a token and no key.
pub(super) fn omvee_rooms(app: &Arc<Omvee>) -> [Room; 2] {
    let room = |name, prefix, router| Room {
        name,
        prefix,
        dialect: Dialect::Detail,
        access: Access::Open,
        bodies: Bodies::Counted,
        service: routed(router),
    };
    let (projects, uploads) = (Arc::clone(app), Arc::clone(app));
    [
        room("omvee", "/api/projects", projects.projects_router()),
        room("omvee_uploads", "/api/uploads", uploads.uploads_router()),
    ]
}

/// Storage, as OMVEE sees it.
struct OmveeFiles(Arc<Storage>);

impl OmveeFiles {
    fn at(&self, path: &str) -> String {
        [self.0.url(), path].concat()
    }
}

impl Files for OmveeFiles {
    fn sign_upload<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        name: &'a str,
    ) -> Asked<'a, String> {
        Box::pin(async move {
            // The original's clients send a song again when it was the wrong one.
            let signed = self.0.sign_upload(caller, bucket, name, true).await;
            Ok(self.at(&signed.map_err(|error| refused(&error))?.path))
        })
    }

    fn public_url(&self, bucket: &str, name: &str) -> String {
        self.at(&Storage::public_path(bucket, name))
    }

    fn stored<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        name: &'a str,
    ) -> Asked<'a, Option<Stored>> {
        Box::pin(async move {
            let found = self.0.object_size(caller, bucket, name).await;
            let found = found.map_err(|error| refused(&error))?;
            Ok(found.map(|object| Stored { size: object.size }))
        })
    }

    fn delete_folder<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        folder: &'a str,
    ) -> Asked<'a, ()> {
        Box::pin(async move {
            let deleted = self.0.delete_folder(caller, bucket, folder).await;
            deleted.map(|_| ()).map_err(|error| refused(&error))
        })
    }
}

/// Storage's refusals are the caller's; its failures are ours.
fn refused(error: &StorageError) -> FileError {
    if error.status().is_server_error() {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, cause, "Storage failed for an app");
        return FileError::Failed;
    }
    FileError::Refused {
        status: error.status(),
        message: error.message().to_owned(),
    }
}
