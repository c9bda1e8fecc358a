//! From files to a running app: the session's box is made to have what the
//! session has, packages are installed when `package.json` is another, and the
//! development server runs.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use jobs::Stop;
use pg::SqlBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::voice::Voice;
use super::{Input, Turn, stop};
use crate::files;
use crate::ports::{BoxError, Boxes, Progress};

/// Lines of a failed installation that its error keeps: the last ones say why.
const LAST_LINES: usize = 12;

/// What a box was given last.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Given {
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    package: Option<String>,
}

pub(super) async fn install(turn: Turn, _input: Input) -> Result<Value, Stop> {
    match turn.boxes() {
        Ok(boxes) => {
            let installed = turn.settle(boxes).await?;
            Ok(
                json!({"installed": installed, "skipped": (!installed).then_some("package.json has not changed")}),
            )
        }
        Err(why) => Ok(json!({"installed": false, "skipped": why})),
    }
}

pub(super) async fn preview(turn: Turn, _input: Input) -> Result<Value, Stop> {
    let boxes = match turn.boxes() {
        Ok(boxes) => boxes,
        Err(why) => return Ok(json!({"url": null, "skipped": why})),
    };
    // The box may be another one than the one in which was installed.
    let installed = turn.settle(boxes).await?;
    let url = tokio::select! {
        url = boxes.serve(&turn.caller, turn.session, installed) => url.map_err(failed)?,
        () = turn.ctx.cancellation().cancelled() => return Err(Stop::Lost),
    };
    Ok(json!({"url": url}))
}

impl Turn {
    fn boxes(&self) -> Result<&dyn Boxes, String> {
        let boxes = self
            .app
            .boxes
            .as_deref()
            .ok_or("there are no sandboxes here")?;
        boxes.strength().map(|_| boxes)
    }

    /// The box has the session's files and packages afterwards; whether
    /// packages were installed.
    async fn settle(&self, boxes: &dyn Boxes) -> Result<bool, Stop> {
        let is_new = boxes
            .ensure(&self.caller, self.session)
            .await
            .map_err(failed)?;
        let mut given = if is_new {
            Given::default()
        } else {
            self.given().await?
        };
        if is_new {
            // It is new only once: what the one before had must not count.
            self.keep(&given).await?;
        }
        let listed = files::list(&self.app.store, &self.caller, self.session)
            .await
            .map_err(stop)?;
        let wanted: BTreeMap<String, String> = listed
            .into_iter()
            .map(|file| (file.path, file.sha256))
            .collect();
        let fresh = wanted
            .iter()
            .filter(|(path, hash)| given.files.get(*path) != Some(*hash));
        let gone = given
            .files
            .keys()
            .filter(|path| !wanted.contains_key(*path));
        let paths: Vec<String> = fresh.map(|(path, _)| path).chain(gone).cloned().collect();
        if !paths.is_empty() {
            let changes = files::changes(&self.app.store, &self.caller, self.session, paths).await;
            boxes
                .write(&self.caller, self.session, changes.map_err(stop)?)
                .await
                .map_err(failed)?;
            given.files.clone_from(&wanted);
            self.keep(&given).await?;
        }
        let package = wanted.get("package.json").cloned();
        if package.is_none() || package == given.package {
            return Ok(false);
        }
        self.run_install(boxes).await?;
        given.package = package;
        self.keep(&given).await?;
        Ok(true)
    }

    async fn run_install(&self, boxes: &dyn Boxes) -> Result<(), Stop> {
        let mut voice = Voice::new(&self.ctx);
        let mut last: Vec<String> = Vec::new();
        let mut lines = boxes
            .install(&self.caller, self.session)
            .await
            .map_err(failed)?;
        loop {
            let next = tokio::select! {
                biased;
                () = self.ctx.cancellation().cancelled() => return Err(Stop::Lost),
                () = voice.due(), if voice.has_more() => {
                    voice.flush(false).await?;
                    continue;
                }
                next = lines.next() => next,
            };
            match next {
                Some(Ok(Progress::Line(line))) => {
                    voice.line(&line);
                    last.push(line);
                    if last.len() > LAST_LINES {
                        last.remove(0);
                    }
                }
                Some(Ok(Progress::Exit(code))) => {
                    voice.flush(true).await?;
                    if code == 0 {
                        return Ok(());
                    }
                    return Err(Stop::Failed {
                        error: json!({
                            "code": "install_failed", "exit_code": code,
                            "message": format!("The packages could not be installed (exit code {code})"),
                            "detail": last.join("\n").chars().take(4000).collect::<String>(),
                        }),
                        // Another try reads the same package.json.
                        retryable: false,
                        delay: None,
                    });
                }
                Some(Err(error)) => return Err(failed(error)),
                None => {
                    return Err(failed(BoxError {
                        code: "box_gone",
                        message: "The sandbox ended while packages were installed".to_owned(),
                        passing: true,
                    }));
                }
            }
        }
    }

    async fn given(&self) -> Result<Given, Stop> {
        let sql =
            SqlBuf::fixed(include_str!("../../sql/box_given.sql")).bind(self.session.to_string());
        let what = "Failed to read what the sandbox has";
        let read = self
            .app
            .store
            .document(&self.caller, what, sql)
            .await
            .map_err(stop)?;
        Ok(read.unwrap_or_default())
    }

    async fn keep(&self, given: &Given) -> Result<(), Stop> {
        let sql = SqlBuf::fixed(include_str!("../../sql/keep_box_given.sql"))
            .bind(self.session.to_string())
            .bind(serde_json::to_string(&given.files)?)
            .bind(given.package.clone());
        let what = "Failed to note what the sandbox has";
        self.app
            .store
            .one(&self.caller, what, sql)
            .await
            .map_err(stop)?;
        Ok(())
    }
}

fn failed(error: BoxError) -> Stop {
    let BoxError {
        code,
        message,
        passing,
    } = error;
    Stop::Failed {
        error: json!({"code": code, "message": message}),
        retryable: passing,
        delay: None,
    }
}
