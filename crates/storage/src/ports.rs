//! What the room needs of others.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use kernel::Caller;
use serde_json::Value;

/// Signs and checks the tokens of signed addresses with the project's secret.
pub trait Signer: Debug + Send + Sync {
    /// A token with these claims, which say when it ends.
    fn sign(&self, claims: &Value) -> Option<String>;

    /// The claims of a token that we signed, even if its time is over; what is
    /// wrong with it otherwise, in words for a client.
    fn open(&self, token: &str) -> Result<Value, String>;
}

/// Knows whose a user's token is.
pub trait Tokens: Debug + Send + Sync {
    /// Whom statements of its bearer run as; what is wrong with it otherwise,
    /// in words for a client.
    fn caller<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, String>>;
}
