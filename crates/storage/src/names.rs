//! What buckets and objects may be called.
//!
//! The rules are the official server's: letters and digits of ASCII and the
//! punctuation that S3 calls safe. Beyond them a name has no step to itself or
//! upwards (`.` and `..`), since names become paths wherever files are exported,
//! and at most as many bytes as a key of S3.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::error::{Result, StorageError};

/// S3's own limit; an index entry of PostgreSQL ends at about twice this.
const NAME_BYTES_MAX: usize = 1024;
/// The official server's limit.
const BUCKET_BYTES_MAX: usize = 100;

/// An object: a name in a bucket, both allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectPath {
    pub(crate) bucket: String,
    pub(crate) name: String,
}

impl ObjectPath {
    /// Checks both. A bucket that cannot be is one that is not there.
    pub(crate) fn new(bucket: &str, name: &str) -> Result<Self> {
        check_bucket(bucket).map_err(|_| StorageError::no_such_bucket())?;
        check_name(name)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
        })
    }

    /// `bucket/name` as a signed address has it. A question mark would end the
    /// path there. Spaces stay: the official clients escape what they are given,
    /// and then the percent sign is escaped a second time, which
    /// [`Self::of_signed_address`] undoes.
    pub(crate) fn in_signed_address(&self) -> String {
        self.to_string().replace('?', "%3F")
    }

    /// The object of a signed address. No name has a percent sign, so what
    /// still has one was escaped by us and by the client.
    pub(crate) fn of_signed_address(bucket: &str, name: &str) -> Result<Self> {
        let read = |text: &str| -> Result<String> {
            let bad = |_| StorageError::invalid_key(text);
            let once = percent_decode_str(text).decode_utf8().map_err(bad)?;
            let twice = percent_decode_str(&once).decode_utf8().map_err(bad)?;
            Ok(twice.into_owned())
        };
        Self::new(&read(bucket)?, &read(name)?)
    }

    /// Whether it only keeps a folder from vanishing. Limits of its bucket are
    /// not about it, and it has no bytes.
    pub(crate) fn keeps_a_folder(&self) -> bool {
        self.name.ends_with(".emptyFolderPlaceholder")
    }
}

impl fmt::Display for ObjectPath {
    /// `bucket/name`, as tokens and answers have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.name)
    }
}

/// Refuses what no object can be called.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    let stays = name.split('/').all(|step| step != "." && step != "..");
    if fits && stays && name.chars().all(|c| c == '/' || allowed(c)) {
        Ok(())
    } else {
        Err(StorageError::invalid_key(name))
    }
}

/// Refuses what no bucket can be called.
pub(crate) fn check_bucket(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() <= BUCKET_BYTES_MAX;
    if fits && name != "." && name != ".." && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(StorageError::invalid_bucket_name())
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_!.*'() &$=@;:+,?-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_addresses_come_back_however_often_they_were_escaped() {
        let path = ObjectPath::new("a bucket?", "b c/what?&+.txt").expect("allowed");
        let ours = path.in_signed_address();
        assert_eq!(ours, "a bucket%3F/b c/what%3F&+.txt");
        // As `encodeURI` leaves it.
        let escaped = ours.replace('%', "%25").replace(' ', "%20");
        for address in [ours, escaped] {
            let (bucket, name) = address.split_once('/').expect("two");
            let read = ObjectPath::of_signed_address(bucket, name).expect("read");
            assert_eq!(read, path);
        }
        for name in ["a%2525", "%25252e%25252e/x", "%ff", "%25ff", "%252e%252e/x"] {
            assert!(ObjectPath::of_signed_address("b", name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_those_of_the_official_server() {
        for name in [
            "a",
            "a/b/c.txt",
            "A b&c$@=;:+,?()!'*",
            "a//b",
            ".keep",
            "..a",
            "/a",
        ] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in [
            "", "ä", "a\\b", "a\0", "a\n", "a%2f", "a#", "a/../b", "..", "./a", "\u{202e}", &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_bucket("my bucket").is_ok());
        let long = "a".repeat(BUCKET_BYTES_MAX + 1);
        for name in ["", "a/b", "ä", "..", &long] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
    }
}
