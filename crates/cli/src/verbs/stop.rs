//! `ferrobase stop`: asks the running instance to end and waits for it.

use std::time::Duration;

use server::config::Mode;
use server::instance;

use super::Scene;
use super::status::running;
use crate::failure::{Failure, failure, system};

/// Draining takes ten seconds by default and PostgreSQL's checkpoint some more;
/// after this long something hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Short enough to feel immediate, long enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Stops it, or fails when nothing runs or it does not end.
pub(super) async fn run(scene: &Scene<'_>) -> Result<(), Failure> {
    let workspace = scene.workspace(Mode::Dev, [])?;
    let running = running(&workspace)?;
    running
        .ask_to_stop()
        .map_err(|error| system(&format!("send a signal to process {}", running.pid), &error))?;
    let gone = async {
        while instance::read(workspace.data_dir()).is_some_and(|now| now.pid == running.pid) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(WAIT_MAX, gone).await.is_err() {
        return Err(failure(
            "FB4002",
            format!(
                "process {} has not ended after {} s",
                running.pid,
                WAIT_MAX.as_secs()
            ),
            format!(
                "See what it waits for; `kill -9 {}` loses no acknowledged write.",
                running.pid
            ),
        ));
    }
    let output = scene.output;
    if output.json {
        return output.value(&serde_json::json!({"stopped": running.pid}));
    }
    output.line(&format!("Stopped process {}", running.pid))
}
