//! What the operator decided: `[auth]` of `supabase/config.toml`, overlaid by
//! GoTrue's environment names, becomes one checked [`Config`].
//!
//! Everything that the official file knows is read here, also what another
//! part of the room obeys: `mfa` and `passkey` (second factors), `external`
//! (signing in with others), `hooks`, `mail`, `sms`, `captcha`, `limits`.
//! Start at [`Config::read`]; `raw.rs` finds values, `sections.rs` has the
//! sections that are long.

mod features;
mod legacy;
mod raw;
mod sections;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::limits::LimitsConfig;
use crate::password::PasswordRules;
use crate::redirect::Allowed;
pub use features::{
    BreachedPasswords, Captcha, Factors, Hook, Hooks, OAuthServer, Passkeys, Provider,
};
pub use legacy::Legacy;
use raw::{Raw, wrong};
pub use sections::{Mail, Phone, Smtp, Template, TestOtps};

/// Where the room answers, what it is called, and who may sign in how.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct Config {
    /// The room's own address as clients see it, without a slash at the end:
    /// links in mails and redirect addresses of providers begin with it. Never
    /// taken from a request.
    pub external_url: Url,
    /// The application; where a redirect goes that is not allowed elsewhere.
    pub site_url: String,
    /// Which addresses may be redirected to.
    pub redirects: Allowed,
    /// `iss` of access tokens.
    pub issuer: String,
    /// `aud` of access tokens, unless a request asks for another.
    pub audience: String,
    /// Roles whose tokens may use the admin API.
    pub admin_roles: Vec<String>,
    /// Role of a new user.
    pub default_role: String,
    /// How long an access token lasts.
    pub token_lifetime: Duration,
    /// Nobody new may sign up.
    pub signup_disabled: bool,
    /// Sessions without e-mail or phone.
    pub anonymous_enabled: bool,
    /// A signed-in user may add identities.
    pub manual_linking_enabled: bool,
    /// Signing in by e-mail.
    pub mail: Mail,
    /// Signing in by phone.
    pub phone: Phone,
    /// What a password must be.
    pub password: PasswordRules,
    /// Where leaked passwords are looked up, if they are.
    pub breached: Option<BreachedPasswords>,
    /// Answers that tell who has an account, which GoTrue gives, are not given.
    pub hide_accounts: bool,
    /// A new password needs a recent session or a nonce.
    pub reauthenticate_for_password: bool,
    /// A new password needs the old one.
    pub current_password_required: bool,
    /// Refresh tokens change with each use, and reuse ends the session.
    pub rotation_enabled: bool,
    /// How long after its use a refresh token may come again.
    pub reuse_interval: Duration,
    /// When sessions end by themselves.
    pub sessions: Sessions,
    /// How long an authorisation code may wait for its exchange.
    pub flow_state_lifetime: Duration,
    /// Second factors.
    pub factors: Factors,
    /// Passkeys.
    pub passkeys: Passkeys,
    /// Being an OAuth server.
    pub oauth_server: OAuthServer,
    /// Signing in with others, by name.
    pub external: BTreeMap<String, Provider>,
    /// Who is asked for passwords of addresses that nobody here has.
    pub legacy: Option<Legacy>,
    /// Functions and services that are asked.
    pub hooks: Hooks,
    /// Proof of being human.
    pub captcha: Option<Captcha>,
    /// Rates.
    pub limits: LimitsConfig,
    /// The database role that statements run as.
    pub database_role: String,
}

/// When sessions end by themselves.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// After this long, whatever happens.
    pub timebox: Option<Duration>,
    /// After this long without a refresh.
    pub inactivity: Option<Duration>,
    /// With a second factor enrolled but not shown.
    pub low_aal: Option<Duration>,
    /// Only the newest of a user stays.
    pub single_per_user: bool,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auth.{path} is not valid: expected {expected}")]
pub struct ConfigError {
    /// The setting below `auth`.
    pub path: String,
    /// What would fit.
    pub expected: &'static str,
}

/// GoTrue's own limit: a week.
const TOKEN_LIFETIME_MAX: u64 = 604_800;
/// What the official CLI writes into a new project.
const TOKEN_LIFETIME: u64 = 3600;
const SITE_URL: &str = "http://127.0.0.1:3000";
/// Long enough for a slow mail to be read, short enough for a lost code.
const FLOW_STATE_LIFETIME: Duration = Duration::from_secs(300);
const REUSE_INTERVAL_SECONDS: u64 = 10;

impl Config {
    /// Checks what was said. `section` is `[auth]` as JSON, `external_url`
    /// where the room is mounted unless the environment says otherwise, `env`
    /// the process's environment.
    #[expect(clippy::too_many_lines, reason = "a line or two for each setting")]
    pub fn read(
        section: &Value,
        external_url: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let raw = Raw::new(section, env);
        let external = raw
            .text("external_url", "API_EXTERNAL_URL")
            .unwrap_or_else(|| external_url.to_owned());
        let external_url = Url::parse(external.trim_end_matches('/'))
            .map_err(|_| wrong("external_url", "an address"))?;
        let site_url = raw
            .text("site_url", "SITE_URL")
            .unwrap_or_else(|| SITE_URL.to_owned());
        let redirects = raw.list("additional_redirect_urls", "URI_ALLOW_LIST");
        let lifetime = raw.number("jwt_expiry", "JWT_EXP")?;
        let lifetime = lifetime.unwrap_or(TOKEN_LIFETIME);
        if lifetime == 0 || lifetime > TOKEN_LIFETIME_MAX {
            return Err(wrong("jwt_expiry", "1 to 604800 seconds"));
        }
        let mail = Mail::read(&raw)?;
        let hooks = Hooks::read(&raw)?;
        let sends = mail.smtp.is_some() || hooks.send_email.is_some();
        Ok(Self {
            redirects: Allowed::new(&site_url, &redirects),
            issuer: raw
                .text("jwt_issuer", "JWT_ISSUER")
                .unwrap_or_else(|| external_url.as_str().trim_end_matches('/').to_owned()),
            external_url,
            site_url,
            audience: raw.text_or("jwt_aud", "JWT_AUD", "authenticated"),
            admin_roles: match raw.list("admin_roles", "JWT_ADMIN_ROLES") {
                roles if roles.is_empty() => {
                    vec!["service_role".to_owned(), "supabase_admin".to_owned()]
                }
                roles => roles,
            },
            default_role: raw.text_or("default_role", "JWT_DEFAULT_GROUP_NAME", "authenticated"),
            token_lifetime: Duration::from_secs(lifetime),
            signup_disabled: raw.negated("enable_signup", "DISABLE_SIGNUP")?,
            anonymous_enabled: raw.flag(
                "enable_anonymous_sign_ins",
                "EXTERNAL_ANONYMOUS_USERS_ENABLED",
                false,
            )?,
            manual_linking_enabled: raw.flag(
                "enable_manual_linking",
                "SECURITY_MANUAL_LINKING_ENABLED",
                false,
            )?,
            mail,
            phone: Phone::read(&raw)?,
            password: sections::password_rules(&raw)?,
            breached: BreachedPasswords::read(&raw)?,
            hide_accounts: raw.flag("hide_accounts", "SECURITY_HIDE_ACCOUNTS", false)?,
            reauthenticate_for_password: raw.flag(
                "email.secure_password_change",
                "SECURITY_UPDATE_PASSWORD_REQUIRE_REAUTHENTICATION",
                false,
            )?,
            current_password_required: raw.flag(
                "email.require_current_password",
                "SECURITY_UPDATE_PASSWORD_REQUIRE_CURRENT_PASSWORD",
                false,
            )?,
            rotation_enabled: raw.flag(
                "enable_refresh_token_rotation",
                "SECURITY_REFRESH_TOKEN_ROTATION_ENABLED",
                true,
            )?,
            reuse_interval: Duration::from_secs(
                raw.number(
                    "refresh_token_reuse_interval",
                    "SECURITY_REFRESH_TOKEN_REUSE_INTERVAL",
                )?
                .unwrap_or(REUSE_INTERVAL_SECONDS),
            ),
            sessions: Sessions {
                timebox: raw.span("sessions.timebox", "SESSIONS_TIMEBOX")?,
                inactivity: raw
                    .span("sessions.inactivity_timeout", "SESSIONS_INACTIVITY_TIMEOUT")?,
                low_aal: raw.span("sessions.allow_low_aal", "SESSIONS_ALLOW_LOW_AAL")?,
                single_per_user: raw.flag(
                    "sessions.single_per_user",
                    "SESSIONS_SINGLE_PER_USER",
                    false,
                )?,
            },
            flow_state_lifetime: raw
                .span("flow_state_expiry", "EXTERNAL_FLOW_STATE_EXPIRY_DURATION")?
                .unwrap_or(FLOW_STATE_LIFETIME),
            factors: Factors::read(&raw)?,
            passkeys: Passkeys::read(&raw)?,
            oauth_server: OAuthServer::read(&raw)?,
            external: Provider::read_all(&raw)?,
            legacy: Legacy::read(&raw)?,
            hooks,
            captcha: Captcha::read(&raw)?,
            limits: sections::limits(&raw, sends)?,
            database_role: "supabase_auth_admin".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
