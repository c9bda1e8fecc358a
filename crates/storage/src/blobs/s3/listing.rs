//! Finished names in order, from the two places where they are.

use std::pin::Pin;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore as _;
use object_store::path::Path;

use super::{BlobError, BlobId, S3, failed};

/// Manifests that are asked for at once: only they know the size.
const AT_ONCE: usize = 8;

type Names = BoxStream<'static, Result<(BlobId, u64), BlobError>>;

impl S3 {
    pub(in super::super) fn list(&self, after: Option<BlobId>) -> Names {
        let whole = self.names("blobs", after);
        let this = self.clone();
        let composed = self.names("manifests", after).map(move |name| {
            let this = this.clone();
            async move {
                let (id, _) = name?;
                match this.manifest(id).await {
                    Ok(manifest) => Ok(Some((id, manifest.size()))),
                    // Removed since it was listed.
                    Err(BlobError::NotFound) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        });
        let composed = composed
            .buffered(AT_ONCE)
            .try_filter_map(|name| async move { Ok(name) });
        merged(whole, composed.boxed())
    }

    fn names(&self, folder: &str, after: Option<BlobId>) -> Names {
        let prefix = Path::from(folder);
        let listed = match after {
            Some(id) => {
                let offset = Path::from(format!("{folder}/{id}"));
                self.store.list_with_offset(Some(&prefix), &offset)
            }
            None => self.store.list(Some(&prefix)),
        };
        let named = listed.map_err(failed).try_filter_map(|meta| async move {
            let id = meta.location.filename().and_then(|name| name.parse().ok());
            Ok(id.map(|id: BlobId| (id, meta.size)))
        });
        named.boxed()
    }
}

/// Two ordered streams as one.
fn merged(one: Names, other: Names) -> Names {
    let both = (one.peekable(), other.peekable());
    let next = |(mut one, mut other): (stream::Peekable<Names>, stream::Peekable<Names>)| async {
        let heads = (
            Pin::new(&mut one).peek().await,
            Pin::new(&mut other).peek().await,
        );
        let first = match heads {
            (Some(Ok(a)), Some(Ok(b))) => a <= b,
            (Some(Err(_)), _) | (Some(_), None) => true,
            (_, Some(_)) => false,
            (None, None) => return None,
        };
        let name = if first {
            one.next().await
        } else {
            other.next().await
        };
        Some((name?, (one, other)))
    };
    stream::unfold(both, next).boxed()
}
