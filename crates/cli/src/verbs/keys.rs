//! `ferrobase keys`: the project's keys, whether it runs or not.

use serde_json::{Map, Value};
use server::config::Mode;
use server::{instance, keys};

use super::Scene;
use crate::failure::Failure;
use crate::output::aligned;

/// Prints them; makes them when the project has none yet.
pub(super) fn run(scene: &Scene<'_>, mode: Mode) -> Result<(), Failure> {
    let workspace = scene.workspace(mode, [])?;
    let (config, context) = (&workspace.loaded.config, &scene.context);
    instance::make_folder(workspace.data_dir())?;
    let keys = keys::resolve(config, workspace.data_dir(), &context.clock, &context.rng)?;
    // Without URLs: what runs may have others.
    let printed = keys.printed().environment("", None);
    let pairs = printed
        .into_iter()
        .filter(|(name, _)| !name.ends_with("_URL"));
    let output = scene.output;
    if output.json {
        let object: Map<String, Value> = pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        return output.value(&object.into());
    }
    let lines: Vec<_> = pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    output.text(&aligned(&lines))
}
