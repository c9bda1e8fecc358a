//! The room on a real database, its providers imitated at their HTTP wire.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod budgets;
mod dialects;
mod leaving;
mod ledger;
mod provider;
mod support;
mod tokens;
