//! The longer sections of `[auth]`, each with its own reading.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kernel::Secret;
use serde_json::Value;

use super::ConfigError;
use super::raw::{Raw, wrong};
use crate::limits::LimitsConfig;
use crate::password::PasswordRules;

/// Signing in by e-mail.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct Mail {
    /// At all.
    pub enabled: bool,
    /// By link.
    pub magic_link_enabled: bool,
    /// Without a confirmation mail.
    pub autoconfirm: bool,
    /// A change of address is confirmed at both.
    pub double_confirm: bool,
    /// Digits of a code.
    pub otp_length: u32,
    /// How long codes and links last.
    pub otp_lifetime: Duration,
    /// Between two mails of a kind to one user.
    pub max_frequency: Duration,
    /// The only addresses that get mail, when there are any.
    pub authorized: Vec<String>,
    /// Texts by template name (`confirmation`, `recovery`, …).
    pub templates: BTreeMap<String, Template>,
    /// Which notices are sent (`password_changed`, …).
    pub notifications: BTreeMap<String, bool>,
    /// Where mails go; none is the built-in inbox.
    pub smtp: Option<Smtp>,
}

/// One mail's texts.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The subject, itself a template.
    pub subject: Option<String>,
    /// The file of the body, as the settings name it.
    pub content_path: Option<String>,
    /// The body itself.
    pub content: Option<String>,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub pass: Option<Secret>,
    /// The sender's address.
    pub admin_email: String,
    /// The sender's name.
    pub sender_name: Option<String>,
}

/// GoTrue's bounds of a code.
const OTP_DIGITS: std::ops::RangeInclusive<u64> = 6..=10;
const OTP_SECONDS_MAX: u64 = 86_400;
/// The official CLI's defaults, which are also GoTrue's.
const OTP_SECONDS: u64 = 3600;
pub(super) const FREQUENCY: Duration = Duration::from_secs(1);

pub(super) fn otp_length(raw: &Raw<'_>, path: &str, name: &str) -> Result<u32, ConfigError> {
    let digits = raw.number(path, name)?.unwrap_or(6);
    if !OTP_DIGITS.contains(&digits) {
        return Err(wrong(path, "6 to 10"));
    }
    u32::try_from(digits).map_err(|_| wrong(path, "6 to 10"))
}

fn otp_lifetime(
    raw: &Raw<'_>,
    path: &str,
    name: &str,
    default: u64,
) -> Result<Duration, ConfigError> {
    let seconds = raw.number(path, name)?.unwrap_or(default);
    if seconds == 0 || seconds > OTP_SECONDS_MAX {
        return Err(wrong(path, "1 to 86400 seconds"));
    }
    Ok(Duration::from_secs(seconds))
}

impl Mail {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        let autoconfirm = match raw.variable("MAILER_AUTOCONFIRM") {
            Some(_) => raw.flag("", "MAILER_AUTOCONFIRM", false)?,
            None => !raw.flag("email.enable_confirmations", "", false)?,
        };
        let mut notifications = BTreeMap::new();
        if let Some(Value::Object(kinds)) = raw.node("email.notification") {
            for name in kinds.keys() {
                let path = format!("email.notification.{name}.enabled");
                notifications.insert(name.clone(), raw.flag(&path, "", false)?);
            }
        }
        let mut templates = BTreeMap::new();
        for (section, suffix) in [
            ("email.template", ""),
            ("email.notification", "_notification"),
        ] {
            let Some(Value::Object(named)) = raw.node(section) else {
                continue;
            };
            for name in named.keys() {
                let part = |part: &str| raw.text(&format!("{section}.{name}.{part}"), "");
                let template = Template {
                    subject: part("subject"),
                    content_path: part("content_path"),
                    content: part("content"),
                };
                templates.insert(format!("{name}{suffix}"), template);
            }
        }
        Ok(Self {
            enabled: raw.flag("email.enable_signup", "EXTERNAL_EMAIL_ENABLED", true)?,
            magic_link_enabled: raw.flag("", "EXTERNAL_EMAIL_MAGIC_LINK_ENABLED", true)?,
            autoconfirm,
            double_confirm: raw.flag(
                "email.double_confirm_changes",
                "MAILER_SECURE_EMAIL_CHANGE_ENABLED",
                true,
            )?,
            otp_length: otp_length(raw, "email.otp_length", "MAILER_OTP_LENGTH")?,
            otp_lifetime: otp_lifetime(raw, "email.otp_expiry", "MAILER_OTP_EXP", OTP_SECONDS)?,
            max_frequency: raw
                .span("email.max_frequency", "SMTP_MAX_FREQUENCY")?
                .unwrap_or(FREQUENCY),
            authorized: raw.list(
                "email.authorized_addresses",
                "EXTERNAL_EMAIL_AUTHORIZED_ADDRESSES",
            ),
            templates,
            notifications,
            smtp: Smtp::read(raw)?,
        })
    }
}

impl Smtp {
    fn read(raw: &Raw<'_>) -> Result<Option<Self>, ConfigError> {
        let wanted = raw.variable("SMTP_HOST").is_some()
            || (raw.node("email.smtp").is_some() && raw.flag("email.smtp.enabled", "", true)?);
        let Some(host) = raw.text("email.smtp.host", "SMTP_HOST").filter(|_| wanted) else {
            return Ok(None);
        };
        let port = raw.number("email.smtp.port", "SMTP_PORT")?.unwrap_or(587);
        Ok(Some(Self {
            host,
            port: u16::try_from(port).map_err(|_| wrong("email.smtp.port", "a port"))?,
            user: raw.text("email.smtp.user", "SMTP_USER"),
            pass: raw.text("email.smtp.pass", "SMTP_PASS").map(Secret::new),
            admin_email: raw.text_or(
                "email.smtp.admin_email",
                "SMTP_ADMIN_EMAIL",
                "admin@localhost",
            ),
            sender_name: raw.text("email.smtp.sender_name", "SMTP_SENDER_NAME"),
        }))
    }
}

/// Signing in by phone.
#[derive(Clone, Debug)]
pub struct Phone {
    /// At all.
    pub enabled: bool,
    /// Without a code.
    pub autoconfirm: bool,
    /// Digits of a code.
    pub otp_length: u32,
    /// How long a code lasts.
    pub otp_lifetime: Duration,
    /// Between two messages of a kind to one user.
    pub max_frequency: Duration,
    /// What a message says; `{{ .Code }}` is the code.
    pub template: String,
    /// Who sends, as `/settings` tells.
    pub provider: String,
    /// Numbers with a code that is known.
    pub test_otps: TestOtps,
}

/// Numbers with a code that is known, for tests and app reviews.
#[derive(Clone, Default)]
pub struct TestOtps {
    codes: BTreeMap<String, Secret>,
    until: Option<Timestamp>,
}

impl std::fmt::Debug for TestOtps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestOtps({})", self.codes.len())
    }
}

impl TestOtps {
    /// The known code of a number, while it counts.
    #[must_use]
    pub fn get(&self, phone: &str, now: Timestamp) -> Option<&str> {
        if self.until.is_some_and(|until| now > until) {
            return None;
        }
        self.codes.get(phone).map(Secret::expose)
    }
}

/// A code by phone is typed at once.
const SMS_OTP_SECONDS: u64 = 60;

impl Phone {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        let mut codes = BTreeMap::new();
        if let Some(Value::Object(pairs)) = raw.node("sms.test_otp") {
            for (phone, code) in pairs {
                let code = code
                    .as_str()
                    .map_or_else(|| code.to_string(), str::to_owned);
                codes.insert(phone.trim_start_matches('+').to_owned(), Secret::new(code));
            }
        }
        for pair in raw.list("", "SMS_TEST_OTP") {
            if let Some((phone, code)) = pair.split_once([':', '=']) {
                codes.insert(phone.trim_start_matches('+').to_owned(), Secret::new(code));
            }
        }
        let until = raw.text("sms.test_otp_valid_until", "SMS_TEST_OTP_VALID_UNTIL");
        let until = until.map(|text| text.parse());
        let until = until
            .transpose()
            .map_err(|_| wrong("sms.test_otp_valid_until", "a time"))?;
        let provider = if let Some(name) = raw.variable("SMS_PROVIDER") {
            name
        } else {
            let vendors = [
                "twilio",
                "twilio_verify",
                "messagebird",
                "textlocal",
                "vonage",
            ];
            let chosen = vendors.iter().find(|name| {
                matches!(
                    raw.flag(&format!("sms.{name}.enabled"), "", false),
                    Ok(true)
                )
            });
            chosen.map_or_else(String::new, |name| (*name).to_owned())
        };
        Ok(Self {
            // Kept apart by the file's defaults: by mail everybody may, by
            // phone somebody must have asked for it.
            enabled: raw.flag("sms.enable_signup", "EXTERNAL_PHONE_ENABLED", false)?,
            autoconfirm: match raw.variable("SMS_AUTOCONFIRM") {
                Some(_) => raw.flag("", "SMS_AUTOCONFIRM", false)?,
                None => !raw.flag("sms.enable_confirmations", "", true)?,
            },
            otp_length: otp_length(raw, "sms.otp_length", "SMS_OTP_LENGTH")?,
            otp_lifetime: otp_lifetime(raw, "sms.otp_expiry", "SMS_OTP_EXP", SMS_OTP_SECONDS)?,
            max_frequency: raw
                .span("sms.max_frequency", "SMS_MAX_FREQUENCY")?
                .unwrap_or(FREQUENCY),
            template: raw.text_or("sms.template", "SMS_TEMPLATE", "Your code is {{ .Code }}"),
            provider,
            test_otps: TestOtps { codes, until },
        })
    }
}

/// What a password must be.
pub(super) fn password_rules(raw: &Raw<'_>) -> Result<PasswordRules, ConfigError> {
    let path = "minimum_password_length";
    let min = raw.number(path, "PASSWORD_MIN_LENGTH")?.unwrap_or(6);
    let min = usize::try_from(min).map_err(|_| wrong(path, "a whole number"))?;
    let path = "password_requirements";
    let requirements = raw.text_or(path, "PASSWORD_REQUIREMENTS", "");
    PasswordRules::new(min, &requirements).map_err(|_| {
        wrong(
            path,
            "letters_digits, lower_upper_letters_digits or lower_upper_letters_digits_symbols",
        )
    })
}

/// Rates, by the file's names. GoTrue's variables may say `30/1h`, of which the
/// number counts. Mails are not counted while the built-in inbox takes them: `sends`
/// is whether they leave.
pub(super) fn limits(raw: &Raw<'_>, sends: bool) -> Result<LimitsConfig, ConfigError> {
    let rate = |name: &str, var: &str, default: u32| {
        let path = format!("rate_limit.{name}");
        let Some(text) = raw.text(&path, var) else {
            return Ok(default);
        };
        let number = text.split('/').next().unwrap_or_default().trim();
        number
            .parse::<f64>()
            .ok()
            .filter(|rate| (0.0..=f64::from(u32::MAX)).contains(rate))
            .map(saturating)
            .ok_or_else(|| wrong(&path, "a number"))
    };
    let usual = LimitsConfig::default();
    let sign_in = rate("sign_in_sign_ups", "RATE_LIMIT_OTP", usual.sign_in_sign_ups)?;
    Ok(LimitsConfig {
        email_sent: if sends {
            rate("email_sent", "RATE_LIMIT_EMAIL_SENT", usual.email_sent)?
        } else {
            0
        },
        sms_sent: rate("sms_sent", "RATE_LIMIT_SMS_SENT", usual.sms_sent)?,
        anonymous_users: rate(
            "anonymous_users",
            "RATE_LIMIT_ANONYMOUS_USERS",
            usual.anonymous_users,
        )?,
        token_refresh: rate(
            "token_refresh",
            "RATE_LIMIT_TOKEN_REFRESH",
            usual.token_refresh,
        )?,
        sign_in_sign_ups: sign_in,
        token_verifications: rate(
            "token_verifications",
            "RATE_LIMIT_VERIFY",
            usual.token_verifications,
        )?,
        otp: sign_in,
        ..usual
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn saturating(rate: f64) -> u32 {
    rate.ceil() as u32
}
