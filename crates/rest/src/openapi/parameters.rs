//! The parameters that all tables share.

use super::swagger::{Kind, Parameter, Place};

const RETURN: [&str; 3] = ["return=representation", "return=minimal", "return=none"];

/// What an insert may prefer: [`RETURN`] and what to do about conflicts.
const POST: [&str; 5] = [
    "return=representation",
    "return=minimal",
    "return=none",
    "resolution=ignore-duplicates",
    "resolution=merge-duplicates",
];

/// By the names that operations refer to.
pub(super) fn shared<'a>() -> impl Iterator<Item = (String, Parameter<'a>)> {
    let text = |place, name, description| Parameter {
        name,
        place,
        description: Some(description),
        kind: Some(Kind::String),
        ..Parameter::default()
    };
    let prefer = |labels| Parameter {
        labels,
        ..text(Place::Header, "Prefer", "Preference")
    };
    let paging = "Limiting and Pagination";
    let unit = Parameter {
        default: Some("items"),
        ..text(Place::Header, "Range-Unit", paging)
    };
    let shared = [
        ("preferParams", prefer(&[])),
        ("preferReturn", prefer(&RETURN)),
        ("preferCount", prefer(&["count=none"])),
        ("preferPost", prefer(&POST)),
        ("select", text(Place::Query, "select", "Filtering Columns")),
        (
            "on_conflict",
            text(Place::Query, "on_conflict", "On Conflict"),
        ),
        ("order", text(Place::Query, "order", "Ordering")),
        ("range", text(Place::Header, "Range", paging)),
        ("rangeUnit", unit),
        ("offset", text(Place::Query, "offset", paging)),
        ("limit", text(Place::Query, "limit", paging)),
    ];
    shared
        .into_iter()
        .map(|(key, parameter)| (key.to_owned(), parameter))
}
