//! The name of a backup: its time, to the second and in UTC, and a few random
//! digits, so that names sort by time and two never meet.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kernel::{Clock, Rng};

/// `20261121T233012Z-7f3a9c`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

const TIME_CHARS: usize = 16;
const CHARS: usize = TIME_CHARS + 7;

impl Id {
    /// A new one.
    #[must_use]
    pub fn new(clock: &Clock, rng: &Rng) -> Self {
        let [a, b, c] = rng.bytes::<3>();
        let time = clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Self(format!("{time}-{a:02x}{b:02x}{c:02x}"))
    }

    /// The id, if the text is one: it becomes the name of a folder.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time, random) = text.split_once('-')?;
        let fits = text.len() == CHARS
            && time.len() == TIME_CHARS
            && time.bytes().enumerate().all(|(place, byte)| match place {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            })
            && random
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// When it was taken, to the second.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        let time = self.0.get(..TIME_CHARS - 1)?;
        let time = DateTime::strptime("%Y%m%dT%H%M%S", time).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_nothing_else_is_a_name() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let rng = Rng::seeded(1);
        let first = Id::new(&clock, &rng);
        assert!(first.as_str().starts_with("19700101T000000Z-"), "{first}");
        assert_eq!(Id::parse(first.as_str()).as_ref(), Some(&first));
        assert_eq!(first.time(), Some(jiff::Timestamp::UNIX_EPOCH));
        clock.advance(std::time::Duration::from_secs(1));
        assert!(Id::new(&clock, &rng) > first);
        for other in [
            "",
            "latest",
            "..",
            "19700101T000000Z-../../",
            "19700101T000000Z-ABCDEF",
            "1970-101T000000Z-abcdef",
        ] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }
}
