//! What is said to a hook at each point, and what its answer means.

use pg::OpenTx;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{HookError, Hooks, Point};

/// What a mail would have said; for a hook that sends it instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmailData {
    /// The code.
    pub token: String,
    /// Its hash, for links.
    pub token_hash: String,
    /// Where the link leads in the end.
    pub redirect_to: String,
    /// `signup`, `recovery`, `email_change`, …
    pub email_action_type: String,
    /// The application's address.
    pub site_url: String,
    /// The code for the new address.
    pub token_new: String,
    /// Its hash.
    pub token_hash_new: String,
    /// Before a change.
    pub old_email: String,
    /// Before a change.
    pub old_phone: String,
    /// Of an identity.
    pub provider: String,
    /// Of a second factor.
    pub factor_type: String,
}

/// A text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sms {
    /// The code.
    pub otp: String,
    /// `sms` or `whatsapp`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sms_type: String,
    /// To whom.
    pub phone: String,
}

/// What a hook thinks of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The attempt counts as it is, right or wrong.
    Continue,
    /// It is refused, and so are its like.
    Reject(Decision),
}

/// The refusal of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// For the client.
    pub message: String,
    /// All of the user's sessions end.
    pub sign_out: bool,
}

/// Claims that every token has, and their types, as GoTrue's schema says.
const REQUIRED: [(&str, &[Type]); 10] = [
    ("aud", &[Type::Text, Type::List]),
    ("exp", &[Type::Integer]),
    ("iat", &[Type::Integer]),
    ("sub", &[Type::Text]),
    ("email", &[Type::Text]),
    ("phone", &[Type::Text]),
    ("role", &[Type::Text]),
    ("aal", &[Type::Text]),
    ("session_id", &[Type::Text]),
    ("is_anonymous", &[Type::Boolean]),
];

/// Claims that a token may have.
const OPTIONAL: [(&str, &[Type]); 7] = [
    ("jti", &[Type::Text]),
    ("iss", &[Type::Text]),
    ("nbf", &[Type::Integer]),
    ("app_metadata", &[Type::Object]),
    ("user_metadata", &[Type::Object]),
    ("amr", &[Type::List]),
    ("client_id", &[Type::Text]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Boolean,
    List,
    Object,
}

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

impl Hooks {
    /// The claims of an access token, as the project wants them. Without a
    /// hook they are what they were.
    pub async fn custom_access_token(
        &self,
        tx: Option<&OpenTx>,
        user_id: &str,
        claims: Map<String, Value>,
        method: &str,
        ip: &str,
    ) -> Result<Map<String, Value>, HookError> {
        if !self.has(Point::CustomAccessToken) {
            return Ok(claims);
        }
        let input = json!({
            "user_id": user_id, "claims": claims, "authentication_method": method,
        });
        let answer = self.ask(Point::CustomAccessToken, tx, input, ip).await?;
        let claims = answer.and_then(|mut answer| answer.get_mut("claims").map(Value::take));
        let missing = || HookError {
            status: 500,
            code: None,
            message: "output claims field is missing".to_owned(),
        };
        match claims.ok_or_else(missing)? {
            Value::Object(claims) => check_claims(&claims).map(|()| claims),
            _ => Err(HookError::internal("Error unmarshaling JSON output.")),
        }
    }

    /// After a password was checked, right or wrong. Not inside a transaction:
    /// what the hook writes must stay when sign-in fails.
    pub async fn password_verification(
        &self,
        user_id: &str,
        valid: bool,
        ip: &str,
    ) -> Result<Verdict, HookError> {
        let input = json!({ "user_id": user_id, "valid": valid });
        let answer = self
            .ask(Point::PasswordVerification, None, input, ip)
            .await?;
        let usual = "Further password verification attempts will be rejected.";
        Ok(verdict(answer, usual))
    }

    /// After a second factor was checked, right or wrong. As
    /// [`Hooks::password_verification`].
    pub async fn mfa_verification(
        &self,
        (user_id, factor_id, factor_type): (&str, &str, &str),
        valid: bool,
        ip: &str,
    ) -> Result<Verdict, HookError> {
        let input = json!({
            "user_id": user_id, "factor_id": factor_id, "factor_type": factor_type, "valid": valid,
        });
        let answer = self.ask(Point::MfaVerification, None, input, ip).await?;
        let usual = "Further MFA verification attempts will be rejected.";
        // A rejected second factor always ends the user's sessions.
        Ok(match verdict(answer, usual) {
            Verdict::Reject(decision) => Verdict::Reject(Decision {
                sign_out: true,
                ..decision
            }),
            Verdict::Continue => Verdict::Continue,
        })
    }

    /// Before a user is made; an error is the hook's no.
    pub async fn before_user_created(&self, user: &Value, ip: &str) -> Result<(), HookError> {
        let input = json!({ "user": user });
        let answer = self.ask(Point::BeforeUserCreated, None, input, ip).await;
        answer.map(|_| ())
    }

    /// After a user was made, outside of the transaction.
    pub async fn after_user_created(&self, user: &Value, ip: &str) -> Result<(), HookError> {
        let input = json!({ "user": user });
        let answer = self.ask(Point::AfterUserCreated, None, input, ip).await;
        answer.map(|_| ())
    }

    /// Instead of a mail of ours; only if [`Hooks::has`] says so.
    pub async fn send_email(
        &self,
        tx: Option<&OpenTx>,
        user: &Value,
        data: &EmailData,
        ip: &str,
    ) -> Result<(), HookError> {
        let input = json!({ "user": user, "email_data": data });
        self.ask(Point::SendEmail, tx, input, ip).await.map(|_| ())
    }

    /// Sends a text message; only if [`Hooks::has`] says so.
    pub async fn send_sms(
        &self,
        tx: Option<&OpenTx>,
        user: &Value,
        sms: &Sms,
        ip: &str,
    ) -> Result<(), HookError> {
        let input = json!({ "user": user, "sms": sms });
        self.ask(Point::SendSms, tx, input, ip).await.map(|_| ())
    }
}

fn verdict(answer: Option<Value>, usual: &str) -> Verdict {
    let answer = answer.unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("decision") != "reject" {
        return Verdict::Continue;
    }
    let message = match text("message") {
        "" => usual.to_owned(),
        said => said.to_owned(),
    };
    let sign_out = answer.get("should_logout_user").and_then(Value::as_bool);
    Verdict::Reject(Decision {
        message,
        sign_out: sign_out.unwrap_or_default(),
    })
}

/// A token without these would be refused by clients, or worse: be taken for
/// something it is not.
fn check_claims(claims: &Map<String, Value>) -> Result<(), HookError> {
    let mut problems = Vec::new();
    for (name, _) in REQUIRED {
        if !claims.contains_key(name) {
            problems.push(format!("- (root): {name} is required\n"));
        }
    }
    for (name, types) in REQUIRED.iter().chain(&OPTIONAL) {
        let fits = |value: &Value| types.iter().any(|kind| kind.is_of(value));
        if claims.get(*name).is_some_and(|value| !fits(value)) {
            problems.push(format!("- {name}: Invalid type\n"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(HookError {
        status: 500,
        code: None,
        message: format!(
            "output claims do not conform to the expected schema: \n{}",
            problems.concat()
        ),
    })
}
