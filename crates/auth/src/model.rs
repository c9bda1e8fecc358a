//! What the tables hold, as types: [`User`], [`Identity`], [`Factor`],
//! [`Session`], and how each looks in an answer. Rows come as JSON documents
//! (`sql/user.sql`, `sql/session.sql`), so that a column is named once.

mod oauth;
mod session;
mod user;

pub(crate) use oauth::{Authorization, Client, ClientAuth, Grant, SCOPES, has_scope, scope_list};
pub(crate) use session::{Method, RefreshToken, Session, Validity};
pub(crate) use user::own_identity_data;
pub use user::{Factor, Identity, User};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, de};

/// A moment of a row: with an offset, without one (then it is UTC), or
/// `infinity`, which people write into `banned_until`.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let parsed = match text.as_str() {
        "infinity" => Some(Timestamp::MAX),
        "-infinity" => Some(Timestamp::MIN),
        text => text.parse::<Timestamp>().ok().or_else(|| {
            let plain = text.parse::<DateTime>().ok()?;
            Some(plain.to_zoned(TimeZone::UTC).ok()?.timestamp())
        }),
    };
    parsed
        .map(Some)
        .ok_or_else(|| de::Error::custom("a moment that cannot be read"))
}
