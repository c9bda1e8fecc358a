//! Names of bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kernel::{Clock, Rng};
use uuid::Uuid;

/// Names bytes that never change once written: a UUID v7, so that names sort by
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(Uuid);

impl BlobId {
    /// A new name.
    #[must_use]
    pub fn new(clock: &Clock, rng: &Rng) -> Self {
        let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &rng.bytes()).into_uuid())
    }

    /// The smallest name that can have been given at `time`.
    #[must_use]
    pub fn earliest_at(time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
        let mut bytes = *uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10])
            .into_uuid()
            .as_bytes();
        // Below every variant's bits.
        let [_, _, _, _, _, _, version, rest @ ..] = &mut bytes;
        *version = 0x70;
        rest.fill(0);
        Self(Uuid::from_bytes(bytes))
    }

    /// When the name was given. Names that are not ours have no time.
    #[must_use]
    pub fn time(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let (seconds, nanos) = (i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?);
        Timestamp::new(seconds, nanos).ok()
    }

    /// The smallest name that can have been given so much before this one.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let time = self.time().and_then(|time| time.checked_sub(by).ok());
        match time {
            _ if by.is_zero() => self,
            Some(time) => Self::earliest_at(time),
            None => Self(Uuid::nil()),
        }
    }

    /// The name as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for BlobId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for BlobId {
    type Err = uuid::Error;

    /// Only the one form that [`fmt::Display`] writes: a name in a path has one
    /// spelling.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        let id = Self(Uuid::try_parse(text)?);
        if id.to_string() == text {
            Ok(id)
        } else {
            // Parsing what cannot be one is how this library makes its error.
            Uuid::try_parse("").map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_know_it() {
        let clock = Clock::manual("2026-11-21T12:00:00Z".parse().expect("a time"));
        let rng = Rng::seeded(1);
        let first = BlobId::new(&clock, &rng);
        let between = BlobId::earliest_at(clock.now());
        clock.advance(std::time::Duration::from_millis(1));
        let second = BlobId::new(&clock, &rng);
        assert!(between <= first && first < second);
        assert!(BlobId::earliest_at(clock.now()) > first);
        assert_eq!(second.time(), Some(clock.now()));
    }

    #[test]
    fn a_name_has_one_spelling() {
        let id = BlobId::new(&Clock::system(), &Rng::system());
        let text = id.to_string();
        assert_eq!(text.parse::<BlobId>().ok(), Some(id));
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
        ] {
            assert!(other.parse::<BlobId>().is_err(), "{other}");
        }
    }
}
