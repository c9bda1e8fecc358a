//! From an occasion to a row: renders a mail and gives back the statement that
//! keeps it.

use std::sync::Arc;

use kernel::Rng;
use pg::SqlBuf;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::library::Library;
use super::plain::plain_text;

const QUEUE: &str = include_str!("sql/queue.sql");
const KEEP: &str = include_str!("sql/keep.sql");

/// Longer is no address (RFC 5321: 64 + 1 + 255).
const ADDRESS_BYTES_MAX: usize = 320;

/// Where mails go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Into the queue, to be sent by a [`super::Sender`].
    Smtp,
    /// Into the built-in inbox, where they stay. There is no limit on how many
    /// are sent, since none is.
    Inbox {
        /// The sender that is shown.
        from_name: String,
        /// Its address.
        from: String,
    },
}

/// Makes mails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailer {
    library: Arc<Library>,
    sink: Sink,
    rng: Rng,
    wake: Arc<Notify>,
}

/// A mail cannot be made. Nothing was written; the change that needed the mail
/// must not happen either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// No mail has this name.
    #[error("there is no mail {0:?}")]
    Unknown(String),
    /// Not an address, or one that would smuggle something into a header.
    #[error("the address cannot be written to")]
    Address,
    /// The template failed with this data.
    #[error("the template {name:?} failed: {message}")]
    Template {
        /// Which.
        name: String,
        /// Why.
        message: String,
    },
}

impl Mailer {
    /// A mailer for these templates.
    #[must_use]
    pub fn new(library: Arc<Library>, sink: Sink, rng: Rng) -> Self {
        Self {
            library,
            sink,
            rng,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Whether mails are really sent, and so must be limited.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.sink == Sink::Smtp
    }

    /// The statement that keeps a mail until it is sent. Run it in the
    /// transaction that makes the mail necessary, then [`Mailer::wake`].
    pub fn enqueue(
        &self,
        template: &str,
        to: &str,
        data: Map<String, Value>,
    ) -> Result<SqlBuf, MailError> {
        if !is_address(to) {
            return Err(MailError::Address);
        }
        let rendered = self.library.render(template, &Value::Object(data));
        let rendered = rendered.ok_or_else(|| MailError::Unknown(template.to_owned()))?;
        let mail = rendered.map_err(|message| MailError::Template {
            name: template.to_owned(),
            message,
        })?;
        let plain = plain_text(&mail.html);
        let id = self.rng.uuid().to_string();
        // Postgres' text has no null character.
        let [subject, html, plain] =
            [mail.subject, mail.html, plain].map(|text| text.replace('\0', ""));
        let statement = match &self.sink {
            Sink::Smtp => SqlBuf::fixed(QUEUE).bind(id).bind(template.to_owned()),
            Sink::Inbox { from_name, from } => SqlBuf::fixed(KEEP)
                .bind(id)
                .bind(from_name.clone())
                .bind(from.clone()),
        };
        Ok(statement
            .bind(to.to_owned())
            .bind(subject)
            .bind(html)
            .bind(plain))
    }

    /// The transaction has committed: tells this node's sender. Other nodes
    /// find the mail by looking.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

/// What can stand in `RCPT TO` and in a header without a second look. Whether
/// the address exists only a mail can tell.
fn is_address(to: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c);
    let parts = to.rsplit_once('@');
    to.len() <= ADDRESS_BYTES_MAX
        && !to.contains(forbidden)
        && parts.is_some_and(|(local, domain)| {
            !local.is_empty() && !local.contains('@') && !domain.is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_smuggle_are_refused() {
        for good in ["a@b", "first.last+tag@example.com", "ü@例え.jp"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}@x", "a".repeat(400));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a@b\r\nBcc: c@d",
            "a@b,c@d",
            "<a@b>",
            "a b@c",
            &long,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
