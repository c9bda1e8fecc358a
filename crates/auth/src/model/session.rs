//! Sessions, how they were made, and whether they still hold.

use jiff::Timestamp;
use kernel::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{User, moment};
use crate::config::Sessions;
use crate::request::nullable;

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    OAuth,
    Password,
    Otp,
    Totp,
    MfaPhone,
    MfaWebAuthn,
    Recovery,
    Invite,
    MagicLink,
    EmailSignup,
    EmailChange,
    Refresh,
    Anonymous,
    OAuthServer,
    Passkey,
}

const METHODS: [(Method, &str); 15] = [
    (Method::OAuth, "oauth"),
    (Method::Password, "password"),
    (Method::Otp, "otp"),
    (Method::Totp, "totp"),
    (Method::MfaPhone, "mfa/phone"),
    (Method::MfaWebAuthn, "mfa/webauthn"),
    (Method::Recovery, "recovery"),
    (Method::Invite, "invite"),
    (Method::MagicLink, "magiclink"),
    (Method::EmailSignup, "email/signup"),
    (Method::EmailChange, "email_change"),
    (Method::Refresh, "token_refresh"),
    (Method::Anonymous, "anonymous"),
    (Method::OAuthServer, "oauth_provider/authorization_code"),
    (Method::Passkey, "passkey"),
];

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        METHODS
            .iter()
            .find(|(method, _)| *method == self)
            .map_or("", |(_, text)| text)
    }

    /// What showing a factor of a type is called.
    pub(crate) fn of_factor(factor_type: &str) -> Self {
        match factor_type {
            "phone" => Self::MfaPhone,
            "webauthn" => Self::MfaWebAuthn,
            _ => Self::Totp,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = if text.ends_with("signup") {
            "email/signup"
        } else {
            text
        };
        METHODS
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(method, _)| *method)
    }
}

/// A session with what was shown for it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) refreshed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) not_after: Option<Timestamp>,
    #[serde(default)]
    #[expect(dead_code, reason = "second factors ask which one won it")]
    pub(crate) factor_id: Option<Uuid>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) aal: String,
    #[serde(default)]
    pub(crate) ip: Option<String>,
    #[serde(default)]
    pub(crate) tag: Option<String>,
    #[serde(default)]
    pub(crate) oauth_client_id: Option<Uuid>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) scopes: String,
    /// Signs refresh tokens that count, in a session that GoTrue began.
    #[serde(default)]
    pub(crate) refresh_token_hmac_key: Option<Secret>,
    #[serde(default)]
    pub(crate) refresh_token_counter: Option<i64>,
    #[serde(default)]
    amr: Vec<AmrClaim>,
}

#[derive(Clone, Debug, Deserialize)]
struct AmrClaim {
    authentication_method: String,
    #[serde(default, deserialize_with = "moment")]
    updated_at: Option<Timestamp>,
}

/// Whether a session still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    Expired,
    Inactive,
    LowAal,
}

impl Validity {
    pub(crate) fn is_valid(self) -> bool {
        self == Self::Valid
    }
}

impl Session {
    /// When it was last heard of; `token` is when its refresh token changed.
    pub(crate) fn refreshed(&self, token: Option<Timestamp>) -> Timestamp {
        let created = self.created_at.unwrap_or(Timestamp::UNIX_EPOCH);
        match (self.refreshed_at, token) {
            (Some(at), _) => at,
            (None, Some(at)) if at > created => at,
            _ => created,
        }
    }

    pub(crate) fn validity(
        &self,
        rules: &Sessions,
        now: Timestamp,
        refreshed: Timestamp,
        highest_aal: &str,
    ) -> Validity {
        let created = self.created_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let past = |from: Timestamp, limit| {
            from.checked_add(limit)
                .is_ok_and(|end: Timestamp| now > end)
        };
        if self.not_after.is_some_and(|end| now > end) {
            return Validity::Expired;
        }
        if rules.timebox.is_some_and(|limit| past(created, limit)) {
            return Validity::Expired;
        }
        if rules.inactivity.is_some_and(|limit| past(refreshed, limit)) {
            return Validity::Inactive;
        }
        let low = self.aal() < highest_aal;
        if low && rules.low_aal.is_some_and(|limit| past(created, limit)) {
            return Validity::LowAal;
        }
        Validity::Valid
    }

    /// The level that was recorded.
    pub(crate) fn aal(&self) -> &str {
        if self.aal.is_empty() {
            "aal1"
        } else {
            &self.aal
        }
    }

    /// A code or link was enough for it, so an old password cannot be asked.
    pub(crate) fn is_recovery(&self) -> bool {
        let by_code = ["otp", "magiclink", "recovery"];
        self.amr
            .iter()
            .any(|claim| by_code.contains(&claim.authentication_method.as_str()))
    }

    /// Level and methods for a token, newest method first.
    pub(crate) fn aal_and_amr(&self, user: &User) -> (&'static str, Value) {
        let second = ["totp", "mfa/phone", "mfa/webauthn"];
        let is_second = |claim: &AmrClaim| second.contains(&claim.authentication_method.as_str());
        let aal = if self.amr.iter().any(is_second) {
            "aal2"
        } else {
            "aal1"
        };
        let mut claims: Vec<_> = self
            .amr
            .iter()
            .map(|claim| {
                let at = claim.updated_at.map_or(0, Timestamp::as_second);
                (claim.authentication_method.as_str(), at)
            })
            .collect();
        claims.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let sso = match user.identities.as_slice() {
            [only] => only.provider.strip_prefix("sso:"),
            _ => None,
        };
        let amr = claims.into_iter().map(|(method, at)| match sso {
            Some(provider) if method == "sso/saml" => {
                json!({"method": method, "timestamp": at, "provider": provider})
            }
            _ => json!({"method": method, "timestamp": at}),
        });
        (aal, amr.collect())
    }
}

/// A refresh token of the kind that is a row.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RefreshToken {
    pub(crate) id: i64,
    pub(crate) token: String,
    pub(crate) user_id: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) parent: String,
    #[serde(default)]
    pub(crate) session_id: Option<Uuid>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) revoked: bool,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) updated_at: Option<Timestamp>,
}
