//! How the rest of the room sees hooks: made from its settings, failing in its
//! words, and sending text messages as its [`Messenger`].

use std::collections::BTreeMap;

use http::StatusCode;
use kernel::Secret;
use serde_json::Value;

use super::{Hook, HookError, Hooks, Point, Sms};
use crate::config;
use crate::error::{AuthError, Code, Result, code};
use crate::ports::{Answer, Message, Messenger};
use crate::request::Call;
use crate::room::Auth;

impl config::Hooks {
    /// The hooks that are configured, by their points.
    #[must_use]
    pub fn by_point(&self) -> BTreeMap<Point, Hook> {
        let at = |point| match point {
            Point::CustomAccessToken => &self.custom_access_token,
            Point::SendEmail => &self.send_email,
            Point::SendSms => &self.send_sms,
            Point::PasswordVerification => &self.password_verification_attempt,
            Point::MfaVerification => &self.mfa_verification_attempt,
            Point::BeforeUserCreated => &self.before_user_created,
            Point::AfterUserCreated => &self.after_user_created,
        };
        let hook = |point| Some((point, at(point).as_ref()?));
        let found = Point::ALL.into_iter().filter_map(hook);
        found.map(|(point, hook)| (point, joined(hook))).collect()
    }
}

fn joined(hook: &config::Hook) -> Hook {
    let secrets: Vec<&str> = hook.secrets.iter().map(Secret::expose).collect();
    Hook {
        uri: hook.uri.clone(),
        secrets: Some(Secret::new(secrets.join("|"))),
    }
}

impl From<HookError> for AuthError {
    fn from(error: HookError) -> Self {
        let status = StatusCode::from_u16(error.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, code_of(error.code), error.message)
    }
}

fn code_of(name: Option<&str>) -> Code {
    const KNOWN: [Code; 5] = [
        code::UNEXPECTED_FAILURE,
        code::HOOK_TIMEOUT,
        code::HOOK_TIMEOUT_AFTER_RETRY,
        code::HOOK_PAYLOAD_OVER_SIZE_LIMIT,
        code::HOOK_PAYLOAD_INVALID_CONTENT_TYPE,
    ];
    let found = KNOWN.into_iter().find(|code| Some(code.as_str()) == name);
    // What a hook itself says has no code in GoTrue either.
    found.unwrap_or(code::UNKNOWN)
}

impl Auth {
    /// Asks whether somebody may become a user, if anybody is to be asked.
    /// Before the transaction that makes them: a slow answer must not hold a
    /// connection.
    pub(crate) async fn before_user_created(&self, user: &Value, call: &Call) -> Result<()> {
        let (hooks, ip) = (&self.parts.hooks, call.address_text());
        Ok(Box::pin(hooks.before_user_created(user, &ip)).await?)
    }

    /// Tells of a user who was made, once that is certain. As in GoTrue, who
    /// asked hears of a failure; the user stays.
    pub(crate) async fn after_user_created(&self, user: &Value, call: &Call) -> Result<()> {
        let (hooks, ip) = (&self.parts.hooks, call.address_text());
        Ok(Box::pin(hooks.after_user_created(user, &ip)).await?)
    }
}

impl Messenger for Hooks {
    /// Not within a transaction: a service that is slow to answer must not
    /// hold locks.
    fn send<'a>(&'a self, message: &'a Message) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            if !self.has(Point::SendSms) {
                return Err(AuthError::Internal("Unable to get SMS provider"));
            }
            let sms = Sms {
                otp: message.otp.expose().to_owned(),
                sms_type: message.channel.clone(),
                phone: message.phone.clone(),
            };
            Box::pin(self.send_sms(None, &message.user, &sms, "")).await?;
            Ok(None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_hook_is_one_of_ours() {
        for (status, name) in [
            (422, "hook_timeout"),
            (422, "hook_timeout_after_retry"),
            (422, "hook_payload_over_size_limit"),
            (400, "hook_payload_invalid_content_type"),
            (500, "unexpected_failure"),
        ] {
            let error = AuthError::from(HookError {
                status,
                code: Some(name),
                message: "m".to_owned(),
            });
            assert_eq!(error.code().as_str(), name);
            assert_eq!(error.status().as_u16(), status);
        }
        let own = AuthError::from(HookError {
            status: 403,
            code: None,
            message: "not you".to_owned(),
        });
        assert_eq!((own.status().as_u16(), &*own.message()), (403, "not you"));
    }

    #[test]
    fn each_point_has_its_own_setting() {
        let hook = |uri: &str| {
            Some(config::Hook {
                uri: uri.to_owned(),
                secrets: vec![Secret::new("v1,whsec_a"), Secret::new("v1,whsec_b")],
            })
        };
        let hooks = config::Hooks {
            send_sms: hook("https://sms.test"),
            before_user_created: hook("https://before.test"),
            ..config::Hooks::default()
        };
        let found = hooks.by_point();
        let uri = |point| found.get(&point).map(|hook| hook.uri.as_str());
        assert_eq!(found.len(), 2);
        assert_eq!(uri(Point::SendSms), Some("https://sms.test"));
        assert_eq!(uri(Point::BeforeUserCreated), Some("https://before.test"));
        let secrets = found
            .get(&Point::SendSms)
            .and_then(|hook| hook.secrets.as_ref());
        assert_eq!(secrets.map(Secret::expose), Some("v1,whsec_a|v1,whsec_b"));
    }
}
