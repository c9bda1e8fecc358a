//! Users with their identities and factors.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::moment;
use crate::request::nullable;

/// A user with everything that hangs on it.
#[expect(
    clippy::struct_field_names,
    reason = "fields are called as columns are"
)]
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Whom its tokens are for.
    #[serde(default, deserialize_with = "nullable")]
    pub aud: String,
    /// The database role of its tokens.
    #[serde(default, deserialize_with = "nullable")]
    pub role: String,
    /// Empty when there is none.
    #[serde(default, deserialize_with = "nullable")]
    pub email: String,
    /// Empty when there is none.
    #[serde(default, deserialize_with = "nullable")]
    pub phone: String,
    #[serde(default)]
    pub(crate) encrypted_password: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) email_confirmed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) phone_confirmed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) confirmed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) invited_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) confirmation_token: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) confirmation_sent_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) recovery_token: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) recovery_sent_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email_change: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email_change_token_new: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email_change_token_current: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) email_change_sent_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email_change_confirm_status: i16,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) phone_change: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) phone_change_token: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) phone_change_sent_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) reauthentication_token: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) reauthentication_sent_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) last_sign_in_at: Option<Timestamp>,
    /// What the operator says about the user.
    #[serde(default, deserialize_with = "nullable", rename = "raw_app_meta_data")]
    pub app_metadata: Map<String, Value>,
    /// What the user says about themselves.
    #[serde(default, deserialize_with = "nullable", rename = "raw_user_meta_data")]
    pub user_metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) updated_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) banned_until: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) deleted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) is_sso_user: bool,
    /// Without e-mail, phone or anything else.
    #[serde(default, deserialize_with = "nullable")]
    pub is_anonymous: bool,
    /// How they sign in.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Their second factors.
    #[serde(default)]
    pub factors: Vec<Factor>,
}

/// One way of signing in.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// Its id.
    pub id: Uuid,
    /// The user's id at the provider.
    pub provider_id: String,
    /// Whose it is.
    pub user_id: Uuid,
    /// What the provider said.
    #[serde(default, deserialize_with = "nullable")]
    pub identity_data: Map<String, Value>,
    /// The provider.
    pub provider: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) last_sign_in_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) updated_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email: String,
}

/// One second factor.
#[derive(Clone, Debug, Deserialize)]
pub struct Factor {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) friendly_name: String,
    /// `totp`, `phone` or `webauthn`.
    pub factor_type: String,
    /// `verified` or `unverified`.
    pub status: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) secret: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) phone: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) updated_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) last_challenged_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) web_authn_credential: Option<Value>,
    #[serde(default)]
    pub(crate) web_authn_aaguid: Option<Uuid>,
    #[serde(default)]
    pub(crate) last_webauthn_challenge_data: Option<Value>,
}

/// What Go writes for a moment that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn always(at: Option<Timestamp>) -> Value {
    at.map_or_else(|| NEVER.into(), |at| at.to_string().into())
}

/// Adds what exists.
struct Document(Map<String, Value>);

impl Document {
    fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn at(&mut self, name: &str, at: Option<Timestamp>) -> &mut Self {
        if let Some(at) = at {
            self.set(name, at.to_string());
        }
        self
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.set(name, text);
        }
        self
    }
}

impl User {
    /// The user as clients see it: never a password or a token.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut out = Document(Map::new());
        out.set("id", self.id.to_string())
            .set("aud", self.aud.as_str())
            .set("role", self.role.as_str())
            .set("email", self.email.as_str())
            .at("email_confirmed_at", self.email_confirmed_at)
            .at("invited_at", self.invited_at)
            .set("phone", self.phone.as_str())
            .at("phone_confirmed_at", self.phone_confirmed_at)
            .at("confirmation_sent_at", self.confirmation_sent_at)
            .at("confirmed_at", self.confirmed_at)
            .at("recovery_sent_at", self.recovery_sent_at)
            .text("new_email", &self.email_change)
            .at("email_change_sent_at", self.email_change_sent_at)
            .text("new_phone", &self.phone_change)
            .at("phone_change_sent_at", self.phone_change_sent_at)
            .at("reauthentication_sent_at", self.reauthentication_sent_at)
            .at("last_sign_in_at", self.last_sign_in_at)
            .set("app_metadata", self.app_metadata.clone())
            .set("user_metadata", self.user_metadata.clone());
        if !self.factors.is_empty() {
            let factors: Vec<Value> = self.factors.iter().map(Factor::document).collect();
            out.set("factors", factors);
        }
        let identities: Vec<Value> = self.identities.iter().map(Identity::document).collect();
        out.set("identities", identities)
            .set("created_at", always(self.created_at))
            .set("updated_at", always(self.updated_at))
            .at("banned_until", self.banned_until)
            .at("deleted_at", self.deleted_at)
            .set("is_anonymous", self.is_anonymous);
        Value::Object(out.0)
    }

    /// The e-mail address has been confirmed.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.email_confirmed_at.is_some()
    }

    /// The phone number has been confirmed.
    #[must_use]
    pub fn is_phone_confirmed(&self) -> bool {
        self.phone_confirmed_at.is_some()
    }

    pub(crate) fn is_banned(&self, now: Timestamp) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    pub(crate) fn has_password(&self) -> bool {
        self.password_hash().is_some()
    }

    pub(crate) fn password_hash(&self) -> Option<&str> {
        self.encrypted_password
            .as_deref()
            .filter(|hash| !hash.is_empty())
    }

    /// Whether a second factor is in force.
    #[must_use]
    pub fn has_mfa(&self) -> bool {
        self.factors
            .iter()
            .any(|factor| factor.status == "verified")
    }

    /// The level that the user's sessions can reach.
    pub(crate) fn highest_aal(&self) -> &'static str {
        if self.has_mfa() { "aal2" } else { "aal1" }
    }

    /// The identity of a provider where the user's own id is the key.
    pub(crate) fn own_identity(&self, provider: &str) -> Option<&Identity> {
        let id = self.id.to_string();
        self.identities
            .iter()
            .find(|identity| identity.provider == provider && identity.provider_id == id)
    }
}

impl Identity {
    /// The identity as clients see it.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut out = Document(Map::new());
        out.set("identity_id", self.id.to_string())
            .set("id", self.provider_id.as_str())
            .set("user_id", self.user_id.to_string());
        if !self.identity_data.is_empty() {
            out.set("identity_data", self.identity_data.clone());
        }
        out.set("provider", self.provider.as_str())
            .at("last_sign_in_at", self.last_sign_in_at)
            .set("created_at", always(self.created_at))
            .set("updated_at", always(self.updated_at))
            .text("email", &self.email);
        Value::Object(out.0)
    }
}

impl Factor {
    /// The factor as clients see it: never its secret.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut out = Document(Map::new());
        out.set("id", self.id.to_string())
            .set("created_at", always(self.created_at))
            .set("updated_at", always(self.updated_at))
            .set("status", self.status.as_str())
            .text("friendly_name", &self.friendly_name)
            .set("factor_type", self.factor_type.as_str())
            .set("phone", self.phone.as_str())
            .set(
                "last_challenged_at",
                self.last_challenged_at.map(|at| at.to_string()),
            );
        if let Some(aaguid) = self.web_authn_aaguid {
            out.set("web_authn_aaguid", aaguid.to_string());
        }
        if let Some(data) = &self.last_webauthn_challenge_data {
            out.set("last_webauthn_challenge_data", data.clone());
        }
        Value::Object(out.0)
    }

    /// Whether it counts.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.status == "verified"
    }
}

/// What identities by e-mail or phone say about themselves.
pub(crate) fn own_identity_data(
    user: Uuid,
    kind: &str,
    value: &str,
    verified: bool,
) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("sub".to_owned(), user.to_string().into());
    if kind == "phone" {
        data.insert("phone".to_owned(), value.into());
    } else {
        data.insert("email".to_owned(), value.to_lowercase().into());
    }
    data.insert(
        "email_verified".to_owned(),
        json!(verified && kind == "email"),
    );
    data.insert(
        "phone_verified".to_owned(),
        json!(verified && kind == "phone"),
    );
    data
}
