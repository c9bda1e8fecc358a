//! What the room can do beyond passwords and codes, each with its own reading:
//! second factors, passkeys, others' accounts, hooks.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::Secret;
use serde_json::Value;

use super::ConfigError;
use super::raw::{Raw, wrong};
use super::sections::{FREQUENCY, otp_length};

/// Second factors.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct Factors {
    /// Most factors of one user.
    pub max_enrolled: u64,
    /// Most of them that are verified.
    pub max_verified: u64,
    /// How long a factor may stay unverified that nobody has challenged.
    pub unverified_lifetime: Duration,
    /// TOTP may be enrolled.
    pub totp_enroll: bool,
    /// TOTP may be verified.
    pub totp_verify: bool,
    /// A phone may be enrolled.
    pub phone_enroll: bool,
    /// A phone may be verified.
    pub phone_verify: bool,
    /// Digits of a phone factor's code.
    pub phone_otp_length: u32,
    /// Between two messages to a phone factor.
    pub phone_max_frequency: Duration,
    /// What a phone factor's message says.
    pub phone_template: String,
    /// An authenticator may be enrolled.
    pub web_authn_enroll: bool,
    /// An authenticator may be verified.
    pub web_authn_verify: bool,
    /// How long a challenge lasts.
    pub challenge_lifetime: Duration,
}

/// GoTrue's default, and its least.
const UNVERIFIED_LIFETIME: Duration = Duration::from_secs(300);

impl Factors {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            max_enrolled: raw
                .number("mfa.max_enrolled_factors", "MFA_MAX_ENROLLED_FACTORS")?
                .unwrap_or(10),
            max_verified: raw
                .number("mfa.max_verified_factors", "MFA_MAX_VERIFIED_FACTORS")?
                .unwrap_or(10),
            unverified_lifetime: raw
                .span("mfa.factor_expiry_duration", "MFA_FACTOR_EXPIRY_DURATION")?
                .map_or(UNVERIFIED_LIFETIME, |span| span.max(UNVERIFIED_LIFETIME)),
            totp_enroll: raw.flag("mfa.totp.enroll_enabled", "MFA_TOTP_ENROLL_ENABLED", true)?,
            totp_verify: raw.flag("mfa.totp.verify_enabled", "MFA_TOTP_VERIFY_ENABLED", true)?,
            phone_enroll: raw.flag(
                "mfa.phone.enroll_enabled",
                "MFA_PHONE_ENROLL_ENABLED",
                false,
            )?,
            phone_verify: raw.flag(
                "mfa.phone.verify_enabled",
                "MFA_PHONE_VERIFY_ENABLED",
                false,
            )?,
            phone_otp_length: otp_length(raw, "mfa.phone.otp_length", "MFA_PHONE_OTP_LENGTH")?,
            phone_max_frequency: raw
                .span("mfa.phone.max_frequency", "MFA_PHONE_MAX_FREQUENCY")?
                .unwrap_or(FREQUENCY),
            phone_template: raw.text_or(
                "mfa.phone.template",
                "MFA_PHONE_TEMPLATE",
                "Your code is {{ .Code }}",
            ),
            web_authn_enroll: raw.flag(
                "mfa.web_authn.enroll_enabled",
                "MFA_WEB_AUTHN_ENROLL_ENABLED",
                false,
            )?,
            web_authn_verify: raw.flag(
                "mfa.web_authn.verify_enabled",
                "MFA_WEB_AUTHN_VERIFY_ENABLED",
                false,
            )?,
            challenge_lifetime: Duration::from_secs(
                raw.number(
                    "mfa.challenge_expiry_duration",
                    "MFA_CHALLENGE_EXPIRY_DURATION",
                )?
                .unwrap_or(300),
            ),
        })
    }
}

/// Passkeys: signing in with an authenticator alone.
#[derive(Clone, Debug, Default)]
pub struct Passkeys {
    /// At all.
    pub enabled: bool,
    /// The relying party's name for people.
    pub rp_display_name: String,
    /// The domain that credentials belong to.
    pub rp_id: String,
    /// The pages that may ask for them.
    pub rp_origins: Vec<String>,
    /// Most passkeys of one user.
    pub max_per_user: u64,
    /// How long a question waits for its answer.
    pub challenge_lifetime: Duration,
}

impl Passkeys {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            enabled: raw.flag("passkey.enabled", "PASSKEY_ENABLED", false)?,
            rp_display_name: raw.text_or(
                "webauthn.rp_display_name",
                "WEBAUTHN_RP_DISPLAY_NAME",
                "",
            ),
            rp_id: raw.text_or("webauthn.rp_id", "WEBAUTHN_RP_ID", ""),
            rp_origins: raw.list("webauthn.rp_origins", "WEBAUTHN_RP_ORIGINS"),
            max_per_user: raw
                .number(
                    "passkey.max_passkeys_per_user",
                    "PASSKEY_MAX_PASSKEYS_PER_USER",
                )?
                .unwrap_or(10),
            challenge_lifetime: raw
                .span(
                    "webauthn.challenge_expiry_duration",
                    "WEBAUTHN_CHALLENGE_EXPIRY_DURATION",
                )?
                .unwrap_or(Duration::from_secs(300)),
        })
    }
}

/// Being an OAuth 2.1 server.
#[derive(Clone, Debug)]
pub struct OAuthServer {
    /// At all.
    pub enabled: bool,
    /// Clients may register themselves.
    pub dynamic_registration: bool,
    /// The application's page where users consent, below the site's address;
    /// none for the small one that is built in.
    pub authorization_path: Option<String>,
}

impl OAuthServer {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            enabled: raw.flag("oauth_server.enabled", "OAUTH_SERVER_ENABLED", false)?,
            dynamic_registration: raw.flag(
                "oauth_server.allow_dynamic_registration",
                "OAUTH_SERVER_ALLOW_DYNAMIC_REGISTRATION",
                false,
            )?,
            authorization_path: raw.text(
                "oauth_server.authorization_url_path",
                "OAUTH_SERVER_AUTHORIZATION_PATH",
            ),
        })
    }
}

/// Signing in with somebody else's account.
#[derive(Clone, Debug)]
pub struct Provider {
    /// At all.
    pub enabled: bool,
    /// Our ids there; the first asks, all are accepted in ID tokens.
    pub client_ids: Vec<String>,
    /// Our secret there.
    pub secret: Option<Secret>,
    /// Where it sends people back to.
    pub redirect_uri: Option<String>,
    /// Its address, where it is not the same for everybody.
    pub url: Option<String>,
    /// Its issuer, for `OpenID` Connect by discovery.
    pub issuer: Option<String>,
    /// What is asked for beside who somebody is.
    pub scopes: Vec<String>,
    /// ID tokens need no nonce.
    pub skip_nonce_check: bool,
    /// An account without an address will do.
    pub email_optional: bool,
}

impl Provider {
    pub(super) fn read_all(raw: &Raw<'_>) -> Result<BTreeMap<String, Self>, ConfigError> {
        const KNOWN: [&str; 24] = [
            "apple",
            "azure",
            "bitbucket",
            "discord",
            "facebook",
            "figma",
            "fly",
            "github",
            "gitlab",
            "google",
            "kakao",
            "keycloak",
            "linkedin",
            "linkedin_oidc",
            "notion",
            "slack",
            "slack_oidc",
            "snapchat",
            "spotify",
            "twitch",
            "twitter",
            "workos",
            "x",
            "zoom",
        ];
        let mut all = BTreeMap::new();
        let in_file = raw.node("external").and_then(Value::as_object);
        let named = in_file
            .into_iter()
            .flat_map(|section| section.keys().map(String::as_str));
        for name in named.chain(KNOWN) {
            if !all.contains_key(name) {
                all.insert(name.to_owned(), Self::read(raw, name)?);
            }
        }
        Ok(all)
    }

    fn read(raw: &Raw<'_>, name: &str) -> Result<Self, ConfigError> {
        let path = |key: &str| format!("external.{name}.{key}");
        let var = |key: &str| format!("EXTERNAL_{}_{key}", name.to_ascii_uppercase());
        Ok(Self {
            enabled: raw.flag(&path("enabled"), &var("ENABLED"), false)?,
            client_ids: raw.list(&path("client_id"), &var("CLIENT_ID")),
            secret: raw.text(&path("secret"), &var("SECRET")).map(Secret::new),
            redirect_uri: raw.text(&path("redirect_uri"), &var("REDIRECT_URI")),
            url: raw.text(&path("url"), &var("URL")),
            issuer: raw.text(&path("issuer"), &var("ISSUER")),
            scopes: raw.list(&path("scopes"), &var("SCOPES")),
            skip_nonce_check: raw.flag(
                &path("skip_nonce_check"),
                &var("SKIP_NONCE_CHECK"),
                false,
            )?,
            email_optional: raw.flag(&path("email_optional"), &var("EMAIL_OPTIONAL"), false)?,
        })
    }
}

/// Functions and services that are asked.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Changes an access token's claims.
    pub custom_access_token: Option<Hook>,
    /// May refuse a new user.
    pub before_user_created: Option<Hook>,
    /// Hears of a new user.
    pub after_user_created: Option<Hook>,
    /// Sends mails instead of us.
    pub send_email: Option<Hook>,
    /// Sends messages to phones.
    pub send_sms: Option<Hook>,
    /// Hears of each password that was tried, and may refuse.
    pub password_verification_attempt: Option<Hook>,
    /// Hears of each second factor that was tried, and may refuse.
    pub mfa_verification_attempt: Option<Hook>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Hook {
    /// `pg-functions://database/schema/function` or `https://…`.
    pub uri: String,
    /// `v1,whsec_…`, several separated by `|`, for HTTP.
    pub secrets: Vec<Secret>,
}

impl Hooks {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, ConfigError> {
        let hook = |name: &str| {
            let path = |key: &str| format!("hook.{name}.{key}");
            let var = |key: &str| format!("HOOK_{}_{key}", name.to_ascii_uppercase());
            if !raw.flag(&path("enabled"), &var("ENABLED"), false)? {
                return Ok(None);
            }
            let uri = raw
                .text(&path("uri"), &var("URI"))
                .filter(|uri| uri.starts_with("pg-functions://") || uri.starts_with("http"))
                .ok_or_else(|| wrong(&path("uri"), "pg-functions://… or https://…"))?;
            let secrets = raw
                .text(&path("secrets"), &var("SECRETS"))
                .unwrap_or_default();
            let secrets = secrets.split('|').filter(|part| !part.is_empty());
            Ok(Some(Hook {
                uri,
                secrets: secrets.map(Secret::new).collect(),
            }))
        };
        Ok(Self {
            custom_access_token: hook("custom_access_token")?,
            before_user_created: hook("before_user_created")?,
            after_user_created: hook("after_user_created")?,
            send_email: hook("send_email")?,
            send_sms: hook("send_sms")?,
            password_verification_attempt: hook("password_verification_attempt")?,
            mfa_verification_attempt: hook("mfa_verification_attempt")?,
        })
    }
}

/// Proof of being human.
#[derive(Clone, Debug)]
pub struct Captcha {
    /// `hcaptcha` or `turnstile`.
    pub provider: String,
    /// Our secret there.
    pub secret: Secret,
}

impl Captcha {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Option<Self>, ConfigError> {
        if !raw.flag("captcha.enabled", "SECURITY_CAPTCHA_ENABLED", false)? {
            return Ok(None);
        }
        let provider = raw.text_or("captcha.provider", "SECURITY_CAPTCHA_PROVIDER", "hcaptcha");
        if !matches!(provider.as_str(), "hcaptcha" | "turnstile") {
            return Err(wrong("captcha.provider", "hcaptcha or turnstile"));
        }
        let secret = raw
            .text("captcha.secret", "SECURITY_CAPTCHA_SECRET")
            .ok_or_else(|| wrong("captcha.secret", "a secret"))?;
        Ok(Some(Self {
            provider,
            secret: Secret::new(secret),
        }))
    }
}

/// Leaked passwords are refused.
#[derive(Clone, Debug, Default)]
pub struct BreachedPasswords {
    /// A copy of the list in one's own network, with the same API.
    pub url: Option<String>,
}

impl BreachedPasswords {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Option<Self>, ConfigError> {
        if !raw.flag("password_hibp.enabled", "PASSWORD_HIBP_ENABLED", false)? {
            return Ok(None);
        }
        let url = raw.text("password_hibp.url", "PASSWORD_HIBP_URL");
        if url
            .as_ref()
            .is_some_and(|url| url::Url::parse(url).is_err())
        {
            return Err(wrong("password_hibp.url", "an address"));
        }
        Ok(Some(Self { url }))
    }
}
