//! Settings that are understood, and mistakes that are named.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::error::ModelErrorKind;
use crate::route::{Needs, plan};

fn raw(toml: &str) -> Raw {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Sections {
        providers: BTreeMap<String, RawProvider>,
        roles: BTreeMap<String, RawRole>,
    }
    let sections: Sections = toml::from_str(toml).unwrap();
    Raw {
        providers: sections.providers,
        roles: sections.roles,
        demo: true,
        ..Raw::default()
    }
}

fn first(config: &Config, target: &str) -> Result<String, ModelErrorKind> {
    let plan = plan(&config.map, target, Needs::default(), 0.0);
    let plan = plan.map_err(|error| error.kind)?;
    Ok(plan.chain[0].route.to_string())
}

#[test]
fn with_nothing_said_the_script_answers_every_role() {
    let config = Config::check(raw("")).unwrap();
    assert_eq!(first(&config, "coder").unwrap(), "demo/scripted-1");
    let without = Config::check(Raw::default()).unwrap();
    assert_eq!(first(&without, "coder"), Err(ModelErrorKind::NotFound));
}

#[test]
fn a_key_in_the_environment_makes_a_provider_and_its_roles() {
    let mut raw = raw("");
    raw.env = vec![("ANTHROPIC_API_KEY".to_owned(), Secret::new("sk"))];
    let config = Config::check(raw).unwrap();
    assert_eq!(
        first(&config, "coder").unwrap(),
        "anthropic/claude-sonnet-4-5"
    );
    assert_eq!(first(&config, "poet"), Err(ModelErrorKind::NotFound));
    assert_eq!(
        first(&config, "demo/scripted-1").unwrap(),
        "demo/scripted-1"
    );
}

#[test]
fn what_is_said_outranks_what_is_usual() {
    let text = "
        [providers.mine]
        kind = \"openai-compatible\"
        url = \"http://127.0.0.1:9/v1\"
        key = \"env(MY_KEY)\"
        [roles.coder]
        routes = [\"mine/x\"]
    ";
    let mut said = raw(text);
    assert!(
        Config::check(said.clone())
            .unwrap_err()
            .contains("variable")
    );
    said.env = vec![("MY_KEY".to_owned(), Secret::new("the key"))];
    let config = Config::check(said).unwrap();
    assert_eq!(first(&config, "coder").unwrap(), "mine/x");
    let key = config.doors[0].provider.key.as_ref().unwrap();
    assert_eq!(key.expose(), "the key");
    assert!(config.map.vendors["mine"].free, "on this machine");
    assert!(!format!("{config:?}").contains("the key"));
}

#[test]
fn local_servers_are_used_and_cost_nothing() {
    let mut said = raw("");
    said.local = vec![Local {
        name: "ollama".to_owned(),
        url: "http://127.0.0.1:11434/v1".to_owned(),
        models: vec!["nomic-embed-text".to_owned(), "qwen3".to_owned()],
    }];
    let config = Config::check(said).unwrap();
    assert_eq!(first(&config, "coder").unwrap(), "ollama/qwen3");
    let embed = Needs {
        embed: true,
        ..Needs::default()
    };
    let plan = plan(&config.map, "embed", embed, 0.0).unwrap();
    assert_eq!(plan.chain[0].route.to_string(), "ollama/nomic-embed-text");
}

#[test]
fn mistakes_are_named() {
    for (text, says) in [
        ("[providers.x]\nurl = \"http://h\"", "kind"),
        ("[providers.x]\nkind = \"demo\"", "script"),
        ("[providers.demo]\nkind = \"anthropic\"", "demo"),
        (
            "[providers.x]\nkind = \"anthropic\"\nurl = \"ftp://h\"",
            "https",
        ),
        ("[roles.r]\nroutes = [\"demo/scripted-1\"]", "script"),
        ("[roles.r]\nroutes = []", "ai.roles.r"),
    ] {
        let error = Config::check(raw(text)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
