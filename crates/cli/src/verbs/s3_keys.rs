//! `ferrobase keys s3 create|list|revoke`: access keys of the S3 protocol.

use serde_json::Value;
use server::config::Mode;
use server::operate::NewS3Key;
use server::{instance, keys};

use super::Scene;
use super::db::open;
use crate::args::DatabaseArgs;
use crate::args::s3_keys::{CreateS3KeyArgs, S3KeysVerb};
use crate::failure::Failure;
use crate::output::aligned;

/// Digits of an access key.
const KEY_BYTES: usize = 10;

/// Does what was asked for with the keys.
pub(super) async fn run(scene: &Scene<'_>, mode: Mode, verb: S3KeysVerb) -> Result<(), Failure> {
    let output = scene.output;
    match verb {
        S3KeysVerb::Create(args) => create(scene, mode, args).await,
        S3KeysVerb::List { database: args } => {
            let database = database(scene, mode, &args).await?;
            let keys = database.list_s3_keys().await;
            database.close().await;
            let keys = keys?;
            if output.json {
                return output.value(&keys.into());
            }
            let lines: Vec<_> = keys.iter().map(described).collect();
            output.text(&aligned(&lines))
        }
        S3KeysVerb::Revoke {
            key,
            database: args,
        } => {
            let database = database(scene, mode, &args).await?;
            let ended = database.revoke_s3_key(&key).await;
            database.close().await;
            let ended = ended?;
            if output.json {
                return output.value(&ended);
            }
            output.line(&format!("revoked {key}"))
        }
    }
}

async fn database(
    scene: &Scene<'_>,
    mode: Mode,
    args: &DatabaseArgs,
) -> Result<server::operate::Database, Failure> {
    let workspace = scene.workspace(mode, [args.flag()])?;
    open(scene, &workspace).await
}

/// The secret is made of the project's, so it is made here and kept nowhere.
async fn create(scene: &Scene<'_>, mode: Mode, args: CreateS3KeyArgs) -> Result<(), Failure> {
    let workspace = scene.workspace(mode, [args.database.flag()])?;
    let (config, context) = (&workspace.loaded.config, &scene.context);
    instance::make_folder(workspace.data_dir())?;
    let keys = keys::resolve(config, workspace.data_dir(), &context.clock, &context.rng)?;
    let id = context.rng.bytes::<KEY_BYTES>();
    let id: Vec<String> = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = NewS3Key {
        access_key: id.concat(),
        role: args.role,
        claims: args.claims,
        read_only: args.read_only,
        description: args.description,
    };
    let database = open(scene, &workspace).await?;
    let key = database.create_s3_key(&new).await;
    database.close().await;
    let mut key = key?;
    let secret = keys.s3_secret(&new.access_key);
    if let Some(object) = key.as_object_mut() {
        object.insert("secret_key".to_owned(), secret.expose().into());
    }
    let output = scene.output;
    if output.json {
        return output.value(&key);
    }
    output.text(&aligned(&[
        ("access key".to_owned(), new.access_key),
        ("secret key".to_owned(), secret.expose().to_owned()),
        ("region".to_owned(), keys.s3.region.clone()),
    ]))
}

fn described(key: &Value) -> (String, String) {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    let reads = key.get("read_only").and_then(Value::as_bool) == Some(true);
    let mut parts = vec![text("role")];
    parts.extend(reads.then_some("read-only"));
    parts.push(text("description"));
    parts.retain(|part| !part.is_empty());
    (text("access_key").to_owned(), parts.join("  "))
}
