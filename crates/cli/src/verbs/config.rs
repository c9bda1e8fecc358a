//! `ferrobase config explain`: each setting, its value and who said it.

use super::Scene;
use crate::args::ConfigVerb;
use crate::failure::Failure;
use crate::output::Tone;
use serde_json::json;

/// Prints the table of settings; secrets are hidden by who makes the lines.
pub(super) fn run(scene: &Scene<'_>, verb: &ConfigVerb) -> Result<(), Failure> {
    let ConfigVerb::Explain { serve } = verb;
    let workspace = scene.workspace(super::mode(*serve), [])?;
    let output = scene.output;
    let explained = workspace.loaded.explain();
    if output.json {
        return output.value(&json!(explained));
    }
    for line in explained {
        let value = if line.value.is_empty() {
            "(empty)".to_owned()
        } else {
            line.value
        };
        output.line(&format!(
            "{} = {value}  {}",
            output.tone(line.path, Tone::Strong),
            output.tone(&format!("[{}]", line.origin), Tone::Faint)
        ))?;
        output.line(&format!("    {}", line.doc))?;
    }
    for warning in workspace.warnings() {
        output.warning(warning);
    }
    Ok(())
}
