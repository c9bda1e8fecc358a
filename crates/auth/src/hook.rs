//! Hooks: a project's own functions that are asked at certain points.
//!
//! Start with [`Hooks`]; [`Point`] lists the points, [`Hook`] is one as
//! `[auth.hook.*]` of config.toml says it: a function of the database
//! (`pg-functions://postgres/schema/function`) or an HTTP service, whose
//! requests are signed as Standard Webhooks has it. `payload` has what goes in
//! and comes out at each point. Times, sizes, tries and errors are GoTrue's.
//!
//! A hook decides about sign-in, so one that cannot be asked is an error and
//! never a yes.

mod function;
mod http_service;
mod payload;
mod signature;
mod target;
mod wiring;

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::{Clock, Rng};
use pg::{OpenTx, Pool};
use serde_json::Value;

use outbound::Client;

pub use payload::{Decision, EmailData, Sms, Verdict};
pub use signature::{HookSecret, Signature};
use target::Target;
pub use target::{Hook, HookConfigError};

/// GoTrue's own, for requests as for answers.
const PAYLOAD_BYTES_MAX: usize = 200 * 1024;

/// Where a hook can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before an access token is signed: its claims.
    CustomAccessToken,
    /// Instead of sending a mail ourselves.
    SendEmail,
    /// To send a text message.
    SendSms,
    /// After a password was checked.
    PasswordVerification,
    /// After a second factor was checked.
    MfaVerification,
    /// Before a user is made.
    BeforeUserCreated,
    /// After a user was made.
    AfterUserCreated,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 7] = [
        Self::CustomAccessToken,
        Self::SendEmail,
        Self::SendSms,
        Self::PasswordVerification,
        Self::MfaVerification,
        Self::BeforeUserCreated,
        Self::AfterUserCreated,
    ];

    /// The section of config.toml: `[auth.hook.<this>]`.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::CustomAccessToken => "custom_access_token",
            Self::SendEmail => "send_email",
            Self::SendSms => "send_sms",
            Self::PasswordVerification => "password_verification_attempt",
            Self::MfaVerification => "mfa_verification_attempt",
            Self::BeforeUserCreated => "before_user_created",
            Self::AfterUserCreated => "after_user_created",
        }
    }

    /// `metadata.name` of what is sent.
    fn name(self) -> &'static str {
        match self {
            Self::CustomAccessToken => "customize-access-token",
            Self::SendEmail => "send-email",
            Self::SendSms => "send-sms",
            Self::PasswordVerification => "password-verification",
            Self::MfaVerification => "mfa-verification",
            Self::BeforeUserCreated => "before-user-created",
            Self::AfterUserCreated => "after-user-created",
        }
    }
}

/// A hook said no, or could not be asked. In GoTrue's terms: status, code and
/// message of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HookError {
    /// The HTTP status.
    pub status: u16,
    /// The `error_code`; `None` where GoTrue gives none and the status decides.
    pub code: Option<&'static str>,
    /// For the client.
    pub message: String,
}

impl HookError {
    fn internal(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            code: Some("unexpected_failure"),
            message: message.into(),
        }
    }

    fn coded(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: Some(code),
            message: message.into(),
        }
    }
}

/// The hooks in force.
#[derive(Clone, Debug)]
pub struct Hooks {
    targets: Arc<BTreeMap<Point, Target>>,
    client: Client,
    pool: Pool,
    role: Arc<str>,
    clock: Clock,
    rng: Rng,
    /// Between tries that got no answer.
    pause: std::time::Duration,
}

impl Hooks {
    /// Checks the settings. `role` is the database role that functions run as,
    /// usually `supabase_auth_admin`. `client` needs [`Reach::Configured`],
    /// since hooks often live next door.
    ///
    /// [`Reach::Configured`]: outbound::Reach::Configured
    pub fn new(
        hooks: &BTreeMap<Point, Hook>,
        client: Client,
        pool: Pool,
        role: &str,
        (clock, rng): (Clock, Rng),
    ) -> Result<Self, HookConfigError> {
        let mut targets = BTreeMap::new();
        for (point, hook) in hooks {
            targets.insert(*point, hook.target(*point)?);
        }
        Ok(Self {
            targets: Arc::new(targets),
            client,
            pool,
            role: Arc::from(role),
            clock,
            rng,
            pause: http_service::PAUSE,
        })
    }

    /// Whether there is a hook at this point.
    #[must_use]
    pub fn has(&self, point: Point) -> bool {
        self.targets.contains_key(&point)
    }

    /// Asks the hook of a point, if there is one. In a transaction, a function
    /// of the database runs inside of it. `None`: no hook, or one with nothing
    /// to say.
    pub async fn ask(
        &self,
        point: Point,
        tx: Option<&OpenTx>,
        mut input: Value,
        ip: &str,
    ) -> Result<Option<Value>, HookError> {
        let Some(target) = self.targets.get(&point) else {
            return Ok(None);
        };
        if let Some(object) = input.as_object_mut() {
            object.insert("metadata".to_owned(), self.metadata(point, ip));
        }
        let input = input.to_string();
        if input.len() > PAYLOAD_BYTES_MAX {
            let message = format!("Payload size exceeded size limit of {PAYLOAD_BYTES_MAX} bytes");
            return Err(HookError::coded(
                422,
                "hook_payload_over_size_limit",
                message,
            ));
        }
        let answer = match target {
            Target::Function(function) => self.run(function, tx, input).await?,
            Target::Http(service) => self.post(service, input).await?,
        };
        let Some(answer) = answer else {
            return Ok(None);
        };
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|_| HookError::internal("Error unmarshaling JSON output."))?;
        match refusal(&answer) {
            Some(error) => Err(error),
            None => Ok(Some(answer)),
        }
    }

    fn metadata(&self, point: Point, ip: &str) -> Value {
        let mut metadata = serde_json::json!({
            "uuid": self.rng.uuid().to_string(),
            "time": self.clock.now().to_string(),
            "name": point.name(),
        });
        if let (false, Some(object)) = (ip.is_empty(), metadata.as_object_mut()) {
            object.insert("ip_address".to_owned(), ip.into());
        }
        metadata
    }
}

/// `{"error": {"http_code": 403, "message": "…"}}`; without a message it is no
/// error to GoTrue, and so not to us.
fn refusal(answer: &Value) -> Option<HookError> {
    let error = answer.get("error")?;
    let message = error.get("message")?.as_str().filter(|m| !m.is_empty())?;
    let status = error.get("http_code").and_then(Value::as_u64);
    let status = status.and_then(|status| u16::try_from(status).ok());
    Some(HookError {
        // A status that is none would make an answer that is none.
        status: status.filter(|s| (400..600).contains(s)).unwrap_or(500),
        code: None,
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests;
