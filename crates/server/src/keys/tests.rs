//! Keys on disk, keys everybody knows, and keys that do not fit together.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;

use super::*;
use crate::config::{Sources, load};

fn config(mode: Mode, env: &[(&str, &str)]) -> Config {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(
        mode,
        &Sources {
            env,
            ..Sources::default()
        },
    )
    .unwrap()
    .config
}

fn keys(folder: &Path, mode: Mode, env: &[(&str, &str)]) -> Result<Keys, KeyError> {
    let clock = Clock::manual(Timestamp::from_second(1_760_000_000).unwrap());
    resolve(&config(mode, env), folder, &clock, &Rng::system())
}

fn shown(key: Option<&Secret>) -> &str {
    key.unwrap().expose()
}

#[test]
fn keys_are_made_once_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("new/folder");
    let first = keys(&at, Mode::Serve, &[]).unwrap();
    let second = keys(&at, Mode::Serve, &[]).unwrap();
    assert_eq!(
        shown(first.anon_key.as_ref()),
        shown(second.anon_key.as_ref())
    );
    assert_eq!(first.jwks(), second.jwks());
    let mode = std::fs::metadata(at.join("keys.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(&at).unwrap().count(),
        1,
        "no draft is left"
    );
    assert_eq!(
        first.publishable_key.expose().len(),
        "sb_publishable_".len() + 22 + 1 + 8
    );
    assert_eq!(
        first.secret_key.expose().len(),
        "sb_secret_".len() + 22 + 1 + 8
    );
    assert_eq!(
        first
            .verify
            .open(shown(first.service_role_key.as_ref()))
            .unwrap()["role"],
        "service_role"
    );
    let signed = first
        .signing
        .sign(&serde_json::json!({"role": "authenticated"}))
        .unwrap();
    assert_eq!(
        second.verify.open(signed.expose()).unwrap()["role"],
        "authenticated"
    );
}

#[test]
fn a_damaged_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, "{\"version\": 1, \"jwt_secret\": \"hunter2\"").unwrap();
    let error = keys(folder.path(), Mode::Serve, &[])
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("is damaged") && !error.contains("hunter2"),
        "{error}"
    );
    assert!(std::fs::read_to_string(&path).unwrap().contains("hunter2"));
}

#[test]
fn dev_on_loopback_uses_the_keys_that_every_env_local_has() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), Mode::Dev, &[]).unwrap();
    assert!(
        shown(keys.anon_key.as_ref()).ends_with(".CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0")
    );
    assert!(
        shown(keys.service_role_key.as_ref())
            .ends_with(".EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU")
    );
    assert_eq!(keys.publishable_key.expose(), WELL_KNOWN_PUBLISHABLE);
    assert_eq!(shown(keys.jwt_secret.as_ref()), WELL_KNOWN_SECRET);
}

#[test]
fn beyond_loopback_the_well_known_keys_are_neither_used_nor_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let open = ("FERROBASE__API__HOST", "0.0.0.0");
    let local = keys(&folder.path().join("local"), Mode::Dev, &[]).unwrap();
    for mode in [Mode::Dev, Mode::Serve] {
        let public = keys(folder.path(), mode, &[open]).unwrap();
        assert!(
            public
                .verify
                .open(shown(local.service_role_key.as_ref()))
                .is_err()
        );
        assert_ne!(public.secret_key.expose(), WELL_KNOWN_SECRET_KEY);
        let base64 = "c3VwZXItc2VjcmV0LWp3dC10b2tlbi13aXRoLWF0LWxlYXN0LTMyLWNoYXJhY3RlcnMtbG9uZw==";
        let jwk = format!(
            "{{\"kty\":\"oct\",\"k\":\"{}\"}}",
            base64.trim_end_matches('=')
        );
        for given in [
            vec![open, ("JWT_SECRET", WELL_KNOWN_SECRET)],
            vec![
                open,
                ("PGRST_JWT_SECRET", base64),
                ("PGRST_JWT_SECRET_IS_BASE64", "true"),
            ],
            vec![open, ("PGRST_JWT_SECRET", &jwk)],
            vec![open, ("SUPABASE_SECRET_KEY", WELL_KNOWN_SECRET_KEY)],
            vec![open, ("SUPABASE_PUBLISHABLE_KEY", WELL_KNOWN_PUBLISHABLE)],
        ] {
            let error = keys(folder.path(), mode, &given).err().unwrap();
            assert!(matches!(error, KeyError::WellKnown { .. }), "{error}");
        }
    }
}

#[test]
fn given_keys_must_fit_the_given_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ("JWT_SECRET", "a secret of the operator, long enough");
    let own = keys(folder.path(), Mode::Serve, &[secret]).unwrap();
    assert_eq!(
        own.verify.open(shown(own.anon_key.as_ref())).unwrap()["role"],
        "anon"
    );
    let anon = shown(own.anon_key.as_ref()).to_owned();
    assert!(keys(folder.path(), Mode::Serve, &[secret, ("ANON_KEY", &anon)]).is_ok());
    let error = keys(folder.path(), Mode::Serve, &[("ANON_KEY", &anon)])
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        error,
        "auth.anon_key is not a valid token under auth.jwt_secret: No suitable key or wrong key type"
    );
}
