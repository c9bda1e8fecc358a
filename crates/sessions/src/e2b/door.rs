//! Requests to one sandbox: which one is in a header, and the key that its
//! maker was given is in another. The key opens this sandbox and nothing else.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::{Refusal, Result};
use crate::call::Call;
use crate::ports::Kind;
use crate::room::Sessions;
use crate::sandboxes::Open;

/// Where a sandbox's files are, inside.
pub(super) const HOME: &str = "/home/user";

/// The sandbox of a request, for whoever shows its key. One that is gone is
/// told as 502: to the clients, that is the sandbox not answering.
pub(super) fn open(room: &Sessions, call: &Call) -> Result<Open> {
    let gone = || Refusal::new(StatusCode::BAD_GATEWAY, "The sandbox was not found");
    let boxes = super::api::boxes(room)?;
    let id = call.header("e2b-sandbox-id").ok_or_else(gone)?;
    let live = boxes.find(id).ok_or_else(gone)?;
    let key = call.header("x-access-token").unwrap_or_default();
    let refused = || Refusal::new(StatusCode::UNAUTHORIZED, "this key opens another sandbox");
    let caller = live.unlock(key).ok_or_else(refused)?;
    if boxes.runner.get(id).is_none() {
        return Err(gone());
    }
    live.touch();
    Ok(Open::by_key(boxes, &live, caller))
}

pub(super) async fn health(State(room): State<Arc<Sessions>>, call: Call) -> Result<StatusCode> {
    open(&room, &call).map(|_| StatusCode::NO_CONTENT)
}

/// A path as a sandbox's files have it: below the home, and relative to it.
pub(super) fn path(text: &str) -> Result<String> {
    let below = match text.strip_prefix(HOME) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ if text.starts_with('/') => {
            return Err(Refusal::invalid(format!(
                "only paths below {HOME} are reached"
            )));
        }
        _ => text.strip_prefix("~/").unwrap_or(text),
    };
    let parts = below.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<_> = parts.collect();
    if parts.contains(&"..") {
        return Err(Refusal::invalid("a path leads nowhere back"));
    }
    Ok(parts.join("/"))
}

/// The same for people.
pub(super) fn full(path: &str) -> String {
    match path {
        "" => HOME.to_owned(),
        path => format!("{HOME}/{path}"),
    }
}

/// Its name in lists of theirs.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "FILE_TYPE_FILE",
        Kind::Folder => "FILE_TYPE_DIRECTORY",
        Kind::Link => "FILE_TYPE_SYMLINK",
        Kind::Other => "FILE_TYPE_UNSPECIFIED",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_stay_below_the_home() {
        for (given, meant) in [
            ("a.txt", "a.txt"),
            ("/home/user/a//b/", "a/b"),
            ("/home/user", ""),
            ("./a", "a"),
            ("~/a", "a"),
        ] {
            assert_eq!(path(given).unwrap(), meant, "{given}");
        }
        for bad in [
            "/etc/passwd",
            "/home/username/x",
            "../x",
            "a/../../x",
            "/home/user/../x",
        ] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert_eq!(full(""), HOME);
    }
}
