//! Rows and bytes agree, whatever was interrupted.
//!
//! Bytes come before the row that names them and go after it, so a crash leaves
//! bytes too many. `sweep` removes those as a duty of the server; `fsck`
//! looks at everything, when somebody asks. Both ask `books` which bytes rows
//! name, and neither removes anything while a backup copies files
//! ([`pg::fence`]).

mod books;
mod fsck;
mod sweep;

pub use books::{Books, KeepingError};
pub use fsck::{Fsck, Problem, Report};
pub use sweep::{Sweeper, Swept};

#[cfg(test)]
mod tests;
