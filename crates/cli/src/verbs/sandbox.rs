//! `ferrobase sandbox doctor`: how strongly this machine isolates.

use std::process::ExitCode;

use ::sandbox::{Config, Engine, SandboxError};
use serde_json::json;

use super::Scene;
use crate::failure::{Failure, failure};
use crate::output::Tone;

/// As documented for an objection.
const NOT_ISOLATED: u8 = 3;

/// Makes sandboxes in a folder of its own, from the strongest kind on, until
/// one works.
pub(super) async fn doctor(scene: &Scene<'_>) -> Result<ExitCode, Failure> {
    let folder = std::env::temp_dir().join(format!("ferrobase-doctor-{}", std::process::id()));
    let found = strength(&folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    let strength = found.map_err(|error| {
        failure(
            "FB4000",
            format!("cannot try a sandbox: {error}"),
            "see the message",
        )
    })?;
    let output = scene.output;
    if output.json {
        output.value(&json!({
            "isolation": strength.word(),
            "isolated": strength.isolated(),
            "network": strength.has_network(),
            "cgroups": strength.cgroups,
            "notes": strength.notes,
        }))?;
    } else {
        let tone = if strength.isolated() {
            Tone::Good
        } else {
            Tone::Bad
        };
        output.line(&format!(
            "isolation  {}",
            output.tone(&strength.to_string(), tone)
        ))?;
        for note in &strength.notes {
            output.line(&format!("note       {note}"))?;
        }
    }
    Ok(if strength.isolated() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_ISOLATED)
    })
}

async fn strength(folder: &std::path::Path) -> Result<::sandbox::Strength, SandboxError> {
    let launcher = std::env::current_exe().map_err(|source| SandboxError::System {
        what: "find this program",
        source,
    })?;
    let tasks = kernel::Tasks::new();
    let engine = Engine::start(Config::new(folder.to_owned(), launcher), tasks.clone()).await?;
    let strength = engine.strength().clone();
    tasks.stop().await;
    Ok(strength)
}
