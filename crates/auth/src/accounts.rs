//! What sign-up, admin and links have in common: addresses checked, passwords
//! judged, users made.

use kernel::Secret;
use serde_json::{Map, Value, json};

use crate::error::{AuthError, Result, code};
use crate::limits::{Kind, TooMany};
use crate::model::{User, own_identity_data};
use crate::password::{HashError, TooBusy, Verdict, Weakness};
use crate::request::Call;
use crate::room::Auth;
use crate::store::{NewUser, Tx, UserPatch};

/// GoTrue's column is as wide.
const EMAIL_BYTES_MAX: usize = 255;

/// An address in the form in which it is kept.
pub(crate) fn email(text: &str) -> Result<String> {
    if text.is_empty() {
        return Err(AuthError::invalid("An email address is required"));
    }
    if text.len() > EMAIL_BYTES_MAX {
        return Err(AuthError::invalid("An email address is too long"));
    }
    if !is_email(text) {
        return Err(AuthError::invalid(
            "Unable to validate email address: invalid format",
        ));
    }
    Ok(text.to_lowercase())
}

/// The form that HTML gives addresses.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let in_local = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !local.is_empty() && local.chars().all(in_local) && domain.split('.').all(is_label)
}

/// A number in the form in which it is kept: E.164 without the plus.
pub(crate) fn phone(text: &str) -> Result<String> {
    let plain = plain_phone(text);
    let digits = plain.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (2..=15).contains(&plain.len()) && !plain.starts_with('0') {
        return Ok(plain);
    }
    Err(AuthError::invalid(
        "Invalid phone number format (E.164 required)",
    ))
}

/// A number without what people write around it.
pub(crate) fn plain_phone(text: &str) -> String {
    text.strip_prefix('+').unwrap_or(text).replace(' ', "")
}

pub(crate) fn too_busy(_: TooBusy) -> AuthError {
    AuthError::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        code::REQUEST_TIMEOUT,
        "Processing this request timed out, please retry after a moment.",
    )
}

impl Auth {
    /// Counts one request of the caller's address. This machine's own is
    /// nobody's in particular: it is a developer's, or that of a proxy that
    /// does not say for whom it asks.
    pub(crate) fn limit(&self, kind: Kind, call: &Call) -> Result<()> {
        let Some(address) = call.address().filter(|address| !address.is_loopback()) else {
            return Ok(());
        };
        let allowed = self.limits.check(kind, address);
        allowed.map_err(|TooMany { .. }| {
            AuthError::too_many(code::OVER_REQUEST_RATE_LIMIT, "Request rate limit reached")
        })
    }

    /// Refuses passwords that are too easy.
    pub(crate) async fn check_password(&self, password: &str) -> Result<()> {
        let breached = self.parts.breached.as_deref();
        match self.config.password.check(password, breached).await {
            Ok(()) => Ok(()),
            Err(Weakness::TooLong) => Err(AuthError::invalid(
                "Password cannot be longer than 72 characters",
            )),
            Err(Weakness::Weak { message, reasons }) => {
                Err(AuthError::WeakPassword { message, reasons })
            }
        }
    }

    /// A password's hash, made off the runtime.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        self.passwords
            .hash(password)
            .await
            .map_err(|error| match error {
                HashError::TooLong => {
                    AuthError::invalid("Password cannot be longer than 72 characters")
                }
                HashError::Busy(busy) => too_busy(busy),
            })
    }

    /// Whether this is the user's password; as slow when there is no user.
    pub(crate) async fn verify_password(
        &self,
        user: Option<&User>,
        password: &str,
    ) -> Result<Verdict> {
        let stored = user.and_then(User::password_hash);
        let verdict = self.passwords.verify(password, stored).await;
        let verdict = verdict.map_err(too_busy)?;
        if let Verdict::Unusable(reason) = verdict {
            tracing::warn!(?reason, "A stored password hash cannot be checked");
        }
        Ok(verdict)
    }

    /// The hash of a password that nobody knows. It is never compared, so the
    /// time that bcrypt takes would be for nothing.
    pub(crate) async fn unknown_password_hash(&self) -> Result<String> {
        let password: Secret = crate::codes::unknown_password(&self.rng);
        self.hash(password.expose()).await
    }

    /// A user to be, with the provider it comes from; none for nobody in
    /// particular.
    pub(crate) fn new_user(
        &self,
        audience: &str,
        provider: Option<&str>,
        data: Map<String, Value>,
    ) -> NewUser {
        let mut app_metadata = Map::new();
        if let Some(provider) = provider {
            app_metadata.insert("provider".to_owned(), provider.into());
            app_metadata.insert("providers".to_owned(), json!([provider]));
        }
        NewUser {
            id: self.rng.uuid(),
            aud: audience.to_owned(),
            role: self.config.default_role.clone(),
            email: String::new(),
            phone: String::new(),
            password_hash: None,
            app_metadata,
            user_metadata: data,
            is_anonymous: provider.is_none(),
        }
    }

    /// Refuses an address outside of the operator's list, when there is one.
    pub(crate) fn check_authorized(&self, email: &str) -> Result<()> {
        let list = &self.config.mail.authorized;
        if list.is_empty() || email.is_empty() {
            return Ok(());
        }
        // `name+label@` is the same mailbox.
        let plain = match (email.split_once('+'), email.split_once('@')) {
            (Some((name, _)), Some((_, domain))) => format!("{name}@{domain}"),
            _ => email.to_owned(),
        };
        if list
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(&plain))
        {
            return Ok(());
        }
        Err(AuthError::bad_request(
            code::EMAIL_ADDRESS_NOT_AUTHORIZED,
            format!("Email address {email:?} cannot be used as it is not authorized"),
        ))
    }
}

impl Tx {
    /// The user's identity by e-mail or phone, made when it is missing.
    pub(crate) async fn own_identity(
        &self,
        user: &mut User,
        kind: &'static str,
        value: &str,
        verified: bool,
    ) -> Result<()> {
        let existing = user.own_identity(kind).map(|identity| identity.id);
        match existing {
            None => {
                let data = own_identity_data(user.id, kind, value, verified);
                self.insert_identity(user, kind, data).await
            }
            Some(id) => {
                let updates = match kind {
                    "phone" => json!({"phone": value, "phone_verified": verified}),
                    _ => json!({"email": value.to_lowercase(), "email_verified": verified}),
                };
                self.merge_identity(id, &updates).await
            }
        }
    }

    /// Someone unconfirmed begins anew: what others may have left behind in
    /// the account (identities, metadata) must not stay in it.
    pub(crate) async fn start_over(
        &self,
        user: &mut User,
        identity_data: &Map<String, Value>,
    ) -> Result<()> {
        user.user_metadata.clone_from(identity_data);
        let patch = UserPatch::new(self.now).object("raw_user_meta_data", &user.user_metadata);
        self.patch(user, patch).await?;
        let newest = user.identities.last().map(|identity| identity.id);
        let others: Vec<_> = user
            .identities
            .iter()
            .map(|identity| identity.id)
            .filter(|id| Some(*id) != newest)
            .collect();
        for id in others {
            self.delete_identity(id).await?;
            user.identities.retain(|identity| identity.id != id);
        }
        self.record_providers(user).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_checked() {
        assert_eq!(
            email("A.b+c@Example.COM").ok().as_deref(),
            Some("a.b+c@example.com")
        );
        for bad in [
            "", "a", "@b.c", "a@", "a@b@c", "a b@c.d", "a@-b.c", "a@b..c", "é@b.c",
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
        assert_eq!(phone("+1 555 0100").ok().as_deref(), Some("15550100"));
        for bad in ["", "+", "0155", "1", "12345678901234567", "12a4"] {
            assert!(phone(bad).is_err(), "{bad}");
        }
    }
}
