//! All settings together: those of [`super::table`], and the sections that
//! have a file of their own.

use super::key::{Key, count, joined};
use super::{ai, backup, sandbox, storage, table};

/// Every setting, in the order in which it is explained.
pub static KEYS: &[Key] = &joined::<{ count(SECTIONS) }>(SECTIONS);

const SECTIONS: &[&[Key]] = &[
    table::OWN,
    &storage::KEYS,
    &sandbox::KEYS,
    &backup::KEYS,
    &ai::KEYS,
];

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
