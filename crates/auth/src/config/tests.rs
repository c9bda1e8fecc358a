//! What the settings mean.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that finds nothing has failed"
)]

use super::*;
use serde_json::json;

fn read(section: &Value, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let find = |name: &str| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::read(section, "http://127.0.0.1:54321/auth/v1", &find)
}

#[test]
fn without_a_file_it_is_the_official_clis_project() {
    let config = read(&json!({}), &[]).unwrap();
    assert_eq!(config.issuer, "http://127.0.0.1:54321/auth/v1");
    assert_eq!(config.token_lifetime.as_secs(), 3600);
    assert!(config.mail.enabled && config.mail.autoconfirm && config.mail.double_confirm);
    assert!(!config.phone.enabled && !config.anonymous_enabled && !config.signup_disabled);
    assert_eq!(config.password, PasswordRules::default());
    assert_eq!(config.reuse_interval.as_secs(), 10);
    assert!(config.external.values().all(|provider| !provider.enabled));
}

#[test]
fn the_file_and_the_environment_are_read() {
    let section = json!({
        "site_url": "https://app.example.com",
        "jwt_expiry": "60",
        "enable_signup": false,
        "email": {"enable_confirmations": true, "otp_length": 8, "template": {"invite": {"subject": "Hi"}}},
        "sms": {"enable_signup": true, "test_otp": {"1234567890": 482_915}},
        "password_requirements": "letters_digits",
        "external": {"google": {"enabled": true, "client_id": "a,b", "secret": "s"}, "my_oidc": {"enabled": true}},
        "hook": {"send_email": {"enabled": true, "uri": "pg-functions://postgres/public/send"}},
    });
    let env = [
        ("GOTRUE_JWT_EXP", "120"),
        ("GOTRUE_DISABLE_SIGNUP", "false"),
    ];
    let config = read(&section, &env).unwrap();
    assert_eq!(config.token_lifetime.as_secs(), 120);
    assert!(!config.signup_disabled && !config.mail.autoconfirm);
    assert_eq!(config.mail.otp_length, 8);
    assert_eq!(
        config.mail.templates["invite"].subject.as_deref(),
        Some("Hi")
    );
    let now = jiff::Timestamp::UNIX_EPOCH;
    assert_eq!(
        config.phone.test_otps.get("1234567890", now),
        Some("482915")
    );
    assert_ne!(config.password, PasswordRules::default());
    assert_eq!(config.external["google"].client_ids, ["a", "b"]);
    assert!(config.external["my_oidc"].enabled);
    assert!(config.hooks.send_email.is_some());
    assert!(!format!("{config:?}").contains("482915"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (section, path) in [
        (json!({"jwt_expiry": 0}), "jwt_expiry"),
        (json!({"email": {"otp_length": 4}}), "email.otp_length"),
        (json!({"enable_signup": "maybe"}), "enable_signup"),
        (json!({"sessions": {"timebox": "soon"}}), "sessions.timebox"),
        (json!({"captcha": {"enabled": true}}), "captcha.secret"),
        (
            json!({"hook": {"send_sms": {"enabled": true, "uri": "ftp://x"}}}),
            "hook.send_sms.uri",
        ),
    ] {
        assert_eq!(read(&section, &[]).unwrap_err().path, path);
    }
}
