//! What this room needs of others, and what other parts of the room plug in.
//! `server::wire` adapts the keys; mails, messages and rates come from inside
//! the room, and tests use small ones of their own.

use std::future::Future;
use std::pin::Pin;

use kernel::Secret;
use pg::SqlBuf;
use serde_json::{Map, Value};

use crate::error::AuthError;

/// A boxed answer, since ports are trait objects.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuthError>> + Send + 'a>>;

/// The project's keys. The room never sees them; it hands over claims.
pub trait Signer: Send + Sync {
    /// A token with these claims, signed with the current key.
    fn sign(&self, claims: &Value) -> Result<Secret, AuthError>;

    /// Whether tokens can be verified by the public keys alone; ID tokens are
    /// made only then.
    fn is_asymmetric(&self) -> bool;

    /// The public keys, as a JWKS document.
    fn jwks(&self) -> String;
}

/// One mail, before it is a text.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The template: `confirmation`, `recovery`, `magic_link`, `invite`,
    /// `email_change`, `reauthentication`, `password_changed_notification`, …
    pub template: &'static str,
    /// The address.
    pub to: String,
    /// What the template may say, by its names: `ConfirmationURL`, `Token`,
    /// `TokenHash`, `SiteURL`, `RedirectTo`, `Email`, `NewEmail`, `Data`, …
    pub data: Map<String, Value>,
}

/// Where mails go.
pub trait Outbox: Send + Sync {
    /// The statement that queues a mail, run in the transaction that makes it
    /// necessary: both happen or neither.
    fn enqueue(&self, mail: &Mail) -> Result<SqlBuf, AuthError>;

    /// The transaction has committed: there is something to send.
    fn wake(&self);
}

/// A message to a phone.
#[derive(Clone, Debug)]
pub struct Message {
    /// In E.164 form without the plus.
    pub phone: String,
    /// `sms` or `whatsapp`.
    pub channel: String,
    /// The code.
    pub otp: Secret,
    /// What to say.
    pub text: Secret,
    /// The user, as `/user` shows it.
    pub user: Value,
}

/// Sends messages to phones.
pub trait Messenger: Send + Sync {
    /// Sends one; the id that the carrier gave it, if any.
    fn send<'a>(&'a self, message: &'a Message) -> Answer<'a, Option<String>>;
}

/// Proof of being human.
pub trait Humans: Send + Sync {
    /// Whether the token is such a proof. The error is what the service said.
    fn prove<'a>(&'a self, token: &'a Secret, address: &'a str) -> Answer<'a, Result<(), String>>;
}

impl Outbox for crate::mail::Mailer {
    fn enqueue(&self, mail: &Mail) -> Result<SqlBuf, AuthError> {
        self.enqueue(mail.template, &mail.to, mail.data.clone())
            .map_err(|error| {
                tracing::error!(%error, "A mail could not be made");
                AuthError::Internal("Error sending email")
            })
    }

    fn wake(&self) {
        self.wake();
    }
}
