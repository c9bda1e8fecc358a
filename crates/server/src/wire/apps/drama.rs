//! The drama generator's asset library: where it is, and Storage as it sees it.

use std::sync::Arc;

use ::drama::{Asked, BUCKET, Drama, FileError, Files, Opened, Parts};
use ::storage::{Storage, StorageError, content};
use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use kernel::{Caller, Rng};
use pg::Pool;

use crate::config::Config;
use crate::gateway::{Access, Bodies, Dialect, Room, routed};

/// The app. Assets are files, so there is none where the database does not let
/// us keep files.
pub(crate) fn app(
    config: &Config,
    requests: &Pool,
    (storage, rng): (Option<&Arc<Storage>>, &Rng),
) -> Option<Arc<Drama>> {
    if !config.apps.drama {
        return None;
    }
    let Some(storage) = storage else {
        tracing::warn!("the drama generator is switched off, since files are");
        return None;
    };
    Some(Drama::new(Parts {
        requests: requests.clone(),
        files: Arc::new(DramaFiles(Arc::clone(storage))),
        rng: rng.clone(),
    }))
}

/// Where it is. It refuses callers itself, in its own shape; its clients show a
/// token and no key. Clips are larger than other bodies, and Storage bounds them.
pub(crate) fn room(app: &Arc<Drama>) -> Room {
    Room {
        name: "drama_assets",
        prefix: "/asset-library",
        dialect: Dialect::Detail,
        access: Access::Open,
        bodies: Bodies::Streamed,
        service: routed(Arc::clone(app).library_router()),
    }
}

struct DramaFiles(Arc<Storage>);

impl Files for DramaFiles {
    fn put<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        mime: &'a str,
        bytes: Body,
    ) -> Asked<'a, u64> {
        Box::pin(async move {
            let put = self.0.put_object(caller, (BUCKET, name), mime, bytes);
            Ok(put.await.map_err(|error| refused(&error))?.size)
        })
    }

    fn open<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Asked<'a, Option<Opened>> {
        Box::pin(async move {
            let found = self.0.read_object(caller, BUCKET, name).await;
            let found = found.map_err(|error| refused(&error))?;
            Ok(found.map(|(object, body)| {
                let mut headers = HeaderMap::new();
                content::headers(&mut headers, &object.mime, None);
                headers.insert(CONTENT_LENGTH, object.size.into());
                Opened { headers, body }
            }))
        })
    }

    fn remove<'a>(&'a self, caller: &'a Caller, names: &'a [String]) -> Asked<'a, ()> {
        Box::pin(async move {
            let gone = self.0.remove_objects(caller, BUCKET, names).await;
            gone.map(drop).map_err(|error| refused(&error))
        })
    }

    fn public_url(&self, name: &str) -> String {
        [self.0.url(), &Storage::public_path(BUCKET, name)].concat()
    }
}

/// Storage's refusals are the caller's; its failures are ours.
fn refused(error: &StorageError) -> FileError {
    match super::refused(error) {
        omvee::FileError::Refused { status, message } => FileError::Refused { status, message },
        omvee::FileError::Failed => FileError::Failed,
    }
}
