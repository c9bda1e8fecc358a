//! What the settings promise: order of the sources, clear refusals, nothing
//! secret shown.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> (String, String) {
    ("ferrobase.toml".to_owned(), text.to_owned())
}

fn refusal(sources: &Sources) -> String {
    load(Mode::Dev, sources).unwrap_err().to_string()
}

#[test]
fn defaults_differ_between_dev_and_serve() {
    let dev = load(Mode::Dev, &Sources::default()).unwrap().config;
    assert!(dev.api.loopback_only() && !dev.api.require_apikey);
    assert_eq!((dev.api.port, dev.db.port), (54321, 54322));
    let serve = load(Mode::Serve, &Sources::default()).unwrap().config;
    assert!(!serve.api.loopback_only() && serve.api.require_apikey);
}

#[test]
fn later_sources_outrank_earlier_ones() {
    let mut sources = Sources {
        file: Some(file("[api]\nport = 1\n[db]\nmax_rows = 7")),
        ..Sources::default()
    };
    let port = |sources: &Sources| load(Mode::Dev, sources).unwrap().config.api.port;
    assert_eq!(port(&sources), 1);
    sources.env = env(&[("PGRST_SERVER_PORT", "2")]);
    assert_eq!(port(&sources), 2);
    sources.env = env(&[("FERROBASE__API__PORT", "3"), ("PGRST_SERVER_PORT", "2")]);
    assert_eq!(port(&sources), 3);
    sources.flags = vec![Flag {
        path: "api.port",
        flag: "--port",
        value: "4".to_owned(),
    }];
    let loaded = load(Mode::Dev, &sources).unwrap();
    assert_eq!(loaded.config.api.port, 4);
    assert_eq!(loaded.config.db.max_rows, Some(7));
    let line = loaded
        .explain()
        .into_iter()
        .find(|line| line.path == "api.port")
        .unwrap();
    assert_eq!(
        (line.value.as_str(), line.origin.as_str()),
        ("4", "flag --port")
    );
}

#[test]
fn unknown_names_stop_the_start_with_a_guess() {
    assert_eq!(
        refusal(&Sources {
            file: Some(file("[api]\nprot = 1")),
            ..Sources::default()
        }),
        "unknown setting `api.prot` in ferrobase.toml; did you mean `api.port`?"
    );
    assert_eq!(
        refusal(&Sources {
            env: env(&[("FERROBASE__AUTH__JWT_SECRT", "x")]),
            ..Sources::default()
        }),
        "unknown setting `auth.jwt_secrt` in environment FERROBASE__AUTH__JWT_SECRT; did you mean `auth.jwt_secret`?"
    );
    assert!(
        refusal(&Sources {
            file: Some(file("[api\n")),
            ..Sources::default()
        })
        .contains("line 1")
    );
    let strange = Sources {
        env: env(&[("PGRST_NEW_THING", "1"), ("PGRST_DB_POOL_TIMEOUT", "1")]),
        ..Sources::default()
    };
    assert_eq!(load(Mode::Dev, &strange).unwrap().warnings.len(), 1);
}

#[test]
fn bad_values_name_the_setting_and_its_origin() {
    assert_eq!(
        refusal(&Sources {
            file: Some(file("[api]\nport = 70000")),
            ..Sources::default()
        }),
        "setting `api.port` (ferrobase.toml) is not valid: expected a whole number in range"
    );
    assert!(
        refusal(&Sources {
            env: env(&[("PGRST_DB_TX_END", "maybe")]),
            ..Sources::default()
        })
        .contains("PGRST_DB_TX_END")
    );
    assert!(
        refusal(&Sources {
            env: env(&[("FERROBASE__API__HEADER_BYTES_MAX", "1")]),
            ..Sources::default()
        })
        .contains("8KiB")
    );
    let short = refusal(&Sources {
        env: env(&[("JWT_SECRET", "hunter2")]),
        ..Sources::default()
    });
    assert!(short.contains("32") && !short.contains("hunter2"));
}

#[test]
fn an_environment_of_postgrest_is_understood() {
    let sources = Sources {
        env: env(&[
            ("PGRST_DB_SCHEMAS", "v1,v2,SPECIAL \"@/\\#~_-"),
            ("PGRST_DB_ANON_ROLE", ""),
            ("PGRST_DB_EXTRA_SEARCH_PATH", ""),
            ("PGRST_DB_TX_END", "rollback-allow-override"),
            ("PGRST_JWT_SECRET", "reallyreallyreallyreallyverysafe"),
            ("PGRST_JWT_AUD", "spec tests"),
            ("PGRST_SERVER_HOST", "!4"),
            ("PGRST_APP_SETTINGS_APP_HOST", "localhost"),
            ("PGRST_OPENAPI_MODE", "disabled"),
            ("PGRST_CLIENT_ERROR_VERBOSITY", "minimal"),
        ]),
        ..Sources::default()
    };
    let loaded = load(Mode::Serve, &sources).unwrap();
    let config = &loaded.config;
    assert_eq!(config.db.schemas, ["v1", "v2", "SPECIAL \"@/\\#~_-"]);
    assert_eq!(config.db.anon_role, None);
    assert!(config.db.extra_search_path.is_empty());
    assert_eq!(config.db.tx_end, TxEnd::RollbackAllowOverride);
    assert_eq!(config.rest.openapi, OpenApiMode::Disabled);
    assert!(!config.rest.verbose_errors);
    assert_eq!(
        config.app_settings.get("app_host").map(String::as_str),
        Some("localhost")
    );
    assert!(!format!("{:?}", config.auth).contains("really"));
    let secret = loaded
        .explain()
        .into_iter()
        .find(|line| line.path == "auth.jwt_secret")
        .unwrap();
    assert_eq!(secret.value, "[redacted]");
}

#[test]
fn an_empty_secret_means_none_and_base64_is_decoded() {
    let jwt = |pairs: &[(&str, &str)]| {
        load(
            Mode::Dev,
            &Sources {
                env: env(pairs),
                ..Sources::default()
            },
        )
        .unwrap()
        .config
        .auth
        .jwt
    };
    assert!(matches!(jwt(&[]), JwtSecret::Project));
    assert!(matches!(
        jwt(&[("PGRST_JWT_SECRET", "")]),
        JwtSecret::Nothing
    ));
    let base64 = "cmVhbGx5cmVhbGx5cmVhbGx5cmVhbGx5dmVyeXNhZmU=";
    let decoded = jwt(&[
        ("PGRST_JWT_SECRET", base64),
        ("PGRST_JWT_SECRET_IS_BASE64", "true"),
    ]);
    assert!(
        matches!(decoded, JwtSecret::Bytes(bytes) if bytes == b"reallyreallyreallyreallyverysafe")
    );
}

#[test]
fn the_database_has_the_last_word_about_the_data_api_alone() {
    let database = [
        ("db_tx_end", "commit-allow-override"),
        ("server_port", "1"),
        ("jwt_secret", "x"),
        ("db_uri", "y"),
    ];
    let database = database
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let sources = Sources {
        env: env(&[("PGRST_DB_TX_END", "rollback")]),
        database,
        ..Sources::default()
    };
    let config = load(Mode::Dev, &sources).unwrap().config;
    assert_eq!(config.db.tx_end, TxEnd::CommitAllowOverride);
    assert_eq!(config.api.port, 54321);
    assert!(config.db.url.is_none() && matches!(config.auth.jwt, JwtSecret::Project));
}

#[test]
fn the_projects_file_is_outranked_by_ours_and_sections_have_long_names() {
    let mut sources = Sources {
        project: vec![("api.port", "1".to_owned()), ("db.port", "2".to_owned())],
        file: Some(file("[api]\nport = 3")),
        ..Sources::default()
    };
    let config = load(Mode::Dev, &sources).unwrap().config;
    assert_eq!((config.api.port, config.db.port), (3, 2));
    assert!(config.db.migrate);
    sources.env = env(&[
        ("FERROBASE__DATABASE__MIGRATE", "false"),
        ("FERROBASE__GATEWAY__REQUIRE_APIKEY", "true"),
    ]);
    let config = load(Mode::Dev, &sources).unwrap().config;
    assert!(!config.db.migrate && config.api.require_apikey);
}

#[test]
fn what_is_not_obeyed_is_said() {
    let warnings = |text| {
        let sources = Sources {
            file: Some(file(text)),
            ..Sources::default()
        };
        load(Mode::Dev, &sources).unwrap().warnings
    };
    assert_eq!(
        warnings("[db]\npre_config = 'f'\nconfig = false"),
        ["setting `db.pre_config` (ferrobase.toml) has no effect while `db.config` is off"]
    );
    assert!(warnings("[db]\npre_config = 'f'").is_empty());
    assert!(warnings("[db]\nconfig = false").is_empty());
}

#[test]
fn the_database_does_not_say_where_to_connect_or_to_listen() {
    let said = ["db_channel", "db_channel_enabled", "db_pool", "db_max_rows"];
    let sources = Sources {
        database: said.map(|name| (name.to_owned(), "7".to_owned())).into(),
        ..Sources::default()
    };
    let db = load(Mode::Dev, &sources).unwrap().config.db;
    assert_eq!(db.channel.as_deref(), Some("pgrst"));
    assert_eq!((db.pool_size, db.max_rows), (None, Some(7)));
    let names = database_names();
    assert!(names.contains(&"db_max_rows".to_owned()));
    assert!(!names.iter().any(|name| name.contains("channel")));
}

#[test]
fn the_reference_page_has_every_setting() {
    let page = include_str!("../../../../docs/configuration.md");
    let missing: Vec<_> = KEYS
        .iter()
        .map(|key| key.path)
        .filter(|path| !page.contains(&format!("\n| `{path}` |")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
}

#[test]
fn every_default_is_valid_and_every_name_is_unique() {
    for (i, key) in KEYS.iter().enumerate() {
        assert!(
            KEYS.iter().skip(i + 1).all(|other| other.path != key.path),
            "{} is there twice",
            key.path
        );
        assert!(!key.doc.is_empty());
    }
}

#[test]
fn the_inbox_is_for_developers_unless_asked_for() {
    let inbox = |mode, sources: &Sources| load(mode, sources).unwrap().config.inbox;
    let usual = Sources::default();
    let dev = inbox(Mode::Dev, &usual);
    assert_eq!((dev.enabled, dev.port), (true, 54324));
    assert!(!inbox(Mode::Serve, &usual).enabled);
    let project = Sources {
        project: vec![("inbox.port", "5".to_owned())],
        ..Sources::default()
    };
    assert_eq!(inbox(Mode::Dev, &project).port, 5);
}

#[test]
fn apps_are_named_and_have_sections_of_their_own() {
    let mut sources = Sources::default();
    let apps = |sources: &Sources| load(Mode::Dev, sources).unwrap().config.apps;
    assert!(apps(&sources).open_lovable.is_none());
    sources.file = Some(file(
        "[apps]\nenabled = [\"open_lovable\"]\n[apps.open_lovable]\nopen = true",
    ));
    assert!(apps(&sources).open_lovable.unwrap().open);
    sources.env = env(&[("FERROBASE__APPS__OPEN_LOVABLE__OPEN", "false")]);
    assert!(!apps(&sources).open_lovable.unwrap().open);
    for text in [
        "[apps]\nenabled = [\"prismatic\"]",
        "[apps.open_lovable]\nopened = true",
        "[api.open_lovable]\nopen = true",
    ] {
        let sources = Sources {
            file: Some(file(text)),
            ..Sources::default()
        };
        assert!(load(Mode::Dev, &sources).is_err(), "{text}");
    }
}
