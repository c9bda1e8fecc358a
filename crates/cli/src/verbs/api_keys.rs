//! `ferrobase keys create|list|rotate|revoke`: platform API keys, in the
//! database. A running instance hears of every change.

use serde_json::Value;
use server::config::Mode;
use server::operate::{Database, NewKey};

use super::Scene;
use super::db::open;
use crate::args::{CreateKeyArgs, DatabaseArgs, KeysVerb};
use crate::failure::Failure;
use crate::output::{Output, aligned};

/// Does what was asked for with the keys.
pub(super) async fn run(scene: &Scene<'_>, mode: Mode, verb: KeysVerb) -> Result<(), Failure> {
    let output = scene.output;
    match verb {
        KeysVerb::Create(args) => {
            let database = database(scene, mode, &args.database).await?;
            let new = database.create_key(&wanted(args)).await;
            database.close().await;
            show_secret(output, &new?)
        }
        KeysVerb::List { database: args } => {
            let database = database(scene, mode, &args).await?;
            let keys = database.list_keys().await;
            database.close().await;
            list(output, keys?)
        }
        KeysVerb::Rotate {
            key,
            overlap,
            database: args,
        } => {
            let database = database(scene, mode, &args).await?;
            let new = database.rotate_key(&key, &overlap).await;
            database.close().await;
            show_secret(output, &new?)
        }
        KeysVerb::S3 { verb } => Box::pin(super::s3_keys::run(scene, mode, verb)).await,
        KeysVerb::Revoke {
            key,
            database: args,
        } => {
            let database = database(scene, mode, &args).await?;
            let ended = database.revoke_key(&key).await;
            database.close().await;
            let ended = ended?;
            if output.json {
                return output.value(&ended);
            }
            output.line(&format!("revoked {}", text(&ended, "name")))
        }
    }
}

async fn database(scene: &Scene<'_>, mode: Mode, args: &DatabaseArgs) -> Result<Database, Failure> {
    let workspace = scene.workspace(mode, [args.flag()])?;
    open(scene, &workspace).await
}

fn wanted(args: CreateKeyArgs) -> NewKey {
    NewKey {
        name: args.name,
        role: args.role,
        sub: args.sub,
        claims: args.claims,
        scopes: args.scopes,
        read_only: args.read_only,
        per_minute: args.per_minute,
        expires_in: args.expires,
    }
}

fn show_secret(output: Output, made: &Value) -> Result<(), Failure> {
    if output.json {
        return output.value(made);
    }
    output.note("This is the only time the key is shown; what is kept is its hash.");
    if made.get("old_until").is_some() {
        output.note(&format!(
            "The secret before it works until {}.",
            text(made, "old_until")
        ));
    }
    output.line(text(made, "key"))
}

fn list(output: Output, keys: Vec<Value>) -> Result<(), Failure> {
    if output.json {
        return output.value(&keys.into());
    }
    if keys.is_empty() {
        return output.line("There are no API keys; `ferrobase keys create` makes one");
    }
    let lines: Vec<_> = keys
        .iter()
        .map(|key| (text(key, "name").to_owned(), described(key)))
        .collect();
    output.text(&aligned(&lines))
}

/// One line: prefixes, role, scopes, and how it is limited.
fn described(key: &Value) -> String {
    let each = |name: &str| {
        key.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let prefixes: Vec<_> = each("secrets").map(|one| text(one, "prefix")).collect();
    let scopes: Vec<_> = each("scopes").filter_map(Value::as_str).collect();
    let used = each("secrets").map(|one| text(one, "last_used_at")).max();
    let is = |name: &str| key.get(name).and_then(Value::as_bool) == Some(true);
    let mut parts = vec![
        prefixes.join(" "),
        text(key, "role").to_owned(),
        scopes.join(","),
    ];
    if is("read_only") {
        parts.push("read-only".to_owned());
    }
    if let Some(number) = key.get("per_minute").and_then(Value::as_u64) {
        parts.push(format!("{number}/min"));
    }
    match text(key, "expires_at") {
        "" => {}
        at if is("expired") => parts.push(format!("expired {at}")),
        at => parts.push(format!("until {at}")),
    }
    match used {
        None | Some("") => parts.push("never used".to_owned()),
        Some(at) => parts.push(format!("used {at}")),
    }
    if !text(key, "owner").is_empty() {
        parts.push(format!("of user {}", text(key, "owner")));
    }
    parts.join("  ")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
