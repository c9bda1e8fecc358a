//! Mail: from an occasion to a message in somebody's inbox.
//!
//! Start with [`Mailer`]: it renders a template and gives back the statement
//! that queues the mail, to be run in the transaction that makes the mail
//! necessary. `library` has the templates, ours and the project's, and looks
//! again when a file changes; [`template`] is their language. [`Sender`] is the
//! duty that sends what is queued, by `smtp`; without SMTP settings mails go
//! to the inbox instead ([`crate::inbox`]).
//!
//! Invariants: links come from [`Links`], which knows the configured addresses
//! and nothing of any request; a subject is one line; what is sent or given up
//! keeps no body.

mod library;
mod links;
mod plain;
mod queue;
mod sender;
mod smtp;
pub mod template;

pub use library::{Custom, Library, LibraryError, Occasion, TEMPLATES};
pub use links::{LinkKind, Links, LinksError};
pub use plain::plain_text;
pub use queue::{MailError, Mailer, Sink};
pub use sender::{Round, Sender, SenderConfig};
pub(crate) use smtp::{Outgoing, compose};
pub use smtp::{Smtp, SmtpConfig, SmtpError, SmtpTls};

#[cfg(test)]
mod tests;
