//! What a platform key may be used for: its scopes against the room that a
//! request goes to. Start at [`apply`].
//!
//! A scope is the name of a room (`rest`), or that and `:read`. `*` stands for
//! every room but those of accounts, `auth` and `auth-admin`, which must be
//! named. Other words are the application's: they reach policies in the claims
//! and open nothing here.
//!
//! What only reads goes through where it cannot be told from the outside
//! whether a request writes (functions, GraphQL): the transaction is read-only
//! then, and PostgreSQL refuses.

use axum::body::Body;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Request};
use kernel::Caller;

use super::Room;
use super::identity::Known;
use super::reply::Trouble;
use crate::api_keys::{ApiKey, PREFIX};

/// The rooms that `*` does not open.
const OF_ACCOUNTS: [&str; 2] = ["auth", "auth-admin"];

/// Why a key is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// It lacks this scope.
    Scope(&'static str),
    /// It may only read.
    Write,
}

/// Whether a key may be used for this request, and how: the caller becomes
/// read-only where its scope is.
fn check(
    key: &ApiKey,
    caller: &mut Caller,
    room: &'static str,
    method: &Method,
    path: &str,
) -> Result<(), Withheld> {
    let scope = scope(room, path);
    let (writes, reads) = given(key, scope);
    if !writes && !reads {
        return Err(Withheld::Scope(scope));
    }
    caller.read_only |= !writes;
    if caller.read_only && !may_only_read(room, method, path) {
        return Err(Withheld::Write);
    }
    Ok(())
}

/// Whether it may write and read there.
fn given(key: &ApiKey, scope: &str) -> (bool, bool) {
    let all = !OF_ACCOUNTS.contains(&scope);
    let writes = key.has(scope) || (all && key.has("*"));
    let mut of_room = String::with_capacity(scope.len() + 5);
    of_room.push_str(scope);
    of_room.push_str(":read");
    let reads = writes || key.has(&of_room) || (all && key.has("*:read"));
    (writes, reads)
}

/// The scope that a path below a room's prefix needs.
fn scope(room: &'static str, path: &str) -> &'static str {
    let is_below = |at: &str| {
        path.strip_prefix(at)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match room {
        "auth" if is_below("/admin") || is_below("/invite") => "auth-admin",
        // Sandboxes of sessions in another dialect.
        "e2b" => "sessions",
        room => room,
    }
}

/// Whether a request can be let through for one who may only read.
fn may_only_read(room: &str, method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || *method == Method::POST
            && match room {
                "rest" => path.starts_with("/rpc/"),
                "graphql" => true,
                // Listing, and addresses of what may be read.
                "storage" => ["/object/list", "/object/sign/"]
                    .iter()
                    .any(|reads| path.starts_with(reads)),
                _ => false,
            }
}

/// Holds a request against the platform key behind its caller, if there is one,
/// and takes the secrets of such keys out of the headers in any case: rooms,
/// functions and logs see those.
pub(super) fn apply(
    known: &mut Known,
    request: &mut Request<Body>,
    room: &Room,
) -> Result<(), Trouble> {
    for name in ["x-api-key", "apikey"] {
        let shown = request.headers().get(name).map(HeaderValue::as_bytes);
        if shown.is_some_and(|key| key.trim_ascii().starts_with(PREFIX.as_bytes())) {
            request.headers_mut().remove(name);
        }
    }
    let Some(key) = &known.api_key else {
        return Ok(());
    };
    // What may be known of it: rooms that ask for a bearer find one.
    if let Ok(shown) = HeaderValue::try_from(format!("Bearer {}", key.prefix)) {
        request.headers_mut().insert(AUTHORIZATION, shown);
    }
    if *request.method() != Method::OPTIONS {
        let path = request.uri().path().strip_prefix(room.prefix);
        let path = path.unwrap_or_default();
        check(key, &mut known.caller, room.name, request.method(), path)
            .map_err(Trouble::Withheld)?;
    }
    match key.check_rate() {
        Some(wait_seconds) => Err(Trouble::TooManyRequests { wait_seconds }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(scopes: &str, request: (&'static str, Method, &str)) -> Result<bool, Withheld> {
        let key = ApiKey::with_scopes(scopes);
        let (room, method, path) = request;
        let mut caller = key.caller.clone();
        check(&key, &mut caller, room, &method, path).map(|()| caller.read_only)
    }

    #[test]
    fn scopes_open_their_room_and_no_other() {
        let get = |room, path| (room, Method::GET, path);
        assert_eq!(outcome("rest", get("rest", "/notes")), Ok(false));
        assert_eq!(outcome("rest:read", get("rest", "/notes")), Ok(true));
        let refused = Err(Withheld::Scope("rest"));
        for scopes in ["storage", "rests", "rest:write", "auth-admin", "notes", ""] {
            assert_eq!(outcome(scopes, get("rest", "/notes")), refused, "{scopes}");
        }
        assert_eq!(outcome("*", get("storage", "/object/a")), Ok(false));
        assert_eq!(outcome("*:read", get("graphql", "/")), Ok(true));
    }

    #[test]
    fn accounts_must_be_named() {
        let get = |path| ("auth", Method::GET, path);
        for scopes in ["*", "*:read", "auth"] {
            for path in ["/admin/users", "/admin", "/invite"] {
                let refused = Err(Withheld::Scope("auth-admin"));
                assert_eq!(outcome(scopes, get(path)), refused, "{scopes} {path}");
            }
        }
        assert_eq!(outcome("*", get("/user")), Err(Withheld::Scope("auth")));
        assert_eq!(outcome("auth-admin", get("/admin/users")), Ok(false));
        assert_eq!(outcome("auth", get("/administrators")), Ok(false));
    }

    #[test]
    fn who_may_only_read_sends_nothing_that_writes() {
        let send = |room, method, path| outcome("*:read auth:read", (room, method, path));
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
            let refused = Err(Withheld::Write);
            assert_eq!(send("rest", method.clone(), "/notes"), refused, "{method}");
            assert_eq!(send("storage", method.clone(), "/object/a"), refused);
            assert_eq!(send("auth", method, "/user"), refused);
        }
        // The transaction sees to it.
        assert_eq!(send("rest", Method::POST, "/rpc/f"), Ok(true));
        assert_eq!(send("graphql", Method::POST, "/"), Ok(true));
        assert_eq!(send("rest", Method::DELETE, "/rpc/f"), Err(Withheld::Write));
    }
}
