//! Explanations of access against a real server: each reason for which rows
//! are hidden or a write is refused, named, with a statement that changes it.
//! Where there is such a statement it is run, and the request then works.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that is not there is null"
)]

mod access {
    pub(crate) mod scene;

    mod closed;
    mod reads;
    mod relations;
    mod report;
    mod writes;
}
