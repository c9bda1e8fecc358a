//! All settings together: those of [`super::table`], and the sections that
//! have a file of their own.

use super::key::{Key, Kind, key};
use super::{backup, table};

/// Every setting, in the order in which it is explained.
pub static KEYS: &[Key] = &joined(table::OWN, &backup::KEYS);

const COUNT: usize = table::OWN.len() + backup::KEYS.len();

#[expect(
    clippy::indexing_slicing,
    reason = "it runs in the compiler, and the place is below the count"
)]
const fn joined(first: &[Key], then: &[Key]) -> [Key; COUNT] {
    let mut all = [key("", Kind::Text, "", ""); COUNT];
    let (mut rest, mut place) = ((first, then), 0);
    while place < COUNT {
        rest = match rest {
            ([one, first @ ..], then) => {
                all[place] = *one;
                (first, then)
            }
            ([], [one, then @ ..]) => {
                all[place] = *one;
                (&[], then)
            }
            ([], []) => return all,
        };
        place += 1;
    }
    all
}

/// The setting with this path; two sections also go by a longer name.
#[must_use]
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let (section, name) = path.split_once('.')?;
    let section = match section {
        "database" => "db",
        "gateway" => "api",
        short => short,
    };
    KEYS.iter()
        .find(|key| key.path.split_once('.') == Some((section, name)))
}
