//! What a sandbox of an app begins with, and how it comes to run: templates,
//! packages, the dev server.
//!
//! Fetching a template's packages takes half a minute, and they are the same
//! for everybody. So they are a layer: a folder that sandboxes see and cannot
//! change, named by the hash of the lock file and of the tools. A layer is made
//! by us, in a sandbox where nothing but the bundled lock file is, and without
//! running any package's scripts: nothing that a tenant wrote comes into it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use kernel::Caller;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::Sandboxes;
use super::exec::{Exec, Execution};
use super::lifecycle::refused;
use super::live::Running;
use super::open::Open;
use crate::error::{Result, SessionsError};
use crate::hex;
use crate::ports::{Command, Network, Output, Spec};

/// The template of a session that has no files and asks for none.
pub(super) const USUAL: &str = "vite-react";
/// Where packages are.
pub(super) const MODULES: &str = "node_modules";
/// Where the templates' dev server listens.
pub(super) const PORT: u16 = 5173;
/// Names of sandboxes in which layers are made begin so.
pub(super) const WARM: &str = "warm-";
/// Fetching packages over a slow line.
const INSTALL_TIME: Duration = Duration::from_secs(300);
/// Vite answers within a second; a machine at its limit may take long.
const SERVER_TIME: Duration = Duration::from_secs(60);
/// Between two looks whether the dev server listens.
const LISTEN_EVERY: Duration = Duration::from_millis(40);
/// Packages named in one go.
const PACKAGES_MAX: usize = 50;

/// A file of a template.
pub type Template = &'static [(&'static str, &'static str)];

/// Vite's own program.
const VITE: &str = "node_modules/vite/bin/vite.js";
const LOCK: &str = "package-lock.json";
const MANIFEST: &str = "package.json";

static VITE_REACT: Template = &[
    (MANIFEST, include_str!("template/package.json")),
    (LOCK, include_str!("template/package-lock.json")),
    ("index.html", include_str!("template/index.html")),
    ("tsconfig.json", include_str!("template/tsconfig.json")),
    ("vite.config.ts", include_str!("template/vite.config.ts")),
    ("src/App.tsx", include_str!("template/src/App.tsx")),
    ("src/index.css", include_str!("template/src/index.css")),
    ("src/main.tsx", include_str!("template/src/main.tsx")),
];

/// The files of a template, by path; none when there is no such template.
#[must_use]
pub fn template(name: &str) -> Option<Template> {
    (name == USUAL).then_some(VITE_REACT)
}

fn bundled(name: &str) -> &'static str {
    let file = VITE_REACT.iter().find(|(path, _)| *path == name);
    file.map_or("", |(_, text)| text)
}

impl Sandboxes {
    /// Puts a template into a session that has no files yet.
    pub(super) async fn put_template(
        &self,
        caller: &Caller,
        session: Uuid,
        name: &str,
    ) -> Result<()> {
        let files = template(name).ok_or_else(|| SessionsError::invalid("no such template"))?;
        let sql = pg::SqlBuf::fixed(include_str!("../../sql/workspace_hashes.sql"));
        let sql = sql
            .bind(session.to_string())
            .bind(String::new())
            .bind("1".to_owned());
        if !self.rows.store.read(caller, sql).await?.is_empty() {
            return Ok(());
        }
        let changes = files
            .iter()
            .map(|(path, text)| json!({"path": path, "content": text}));
        self.write_workspace(caller, session, changes.collect())
            .await
    }

    /// The layer that fits the session's lock file, made now if it is missing.
    /// None when the lock file is the session's own.
    pub(super) async fn layer_for(
        self: &Arc<Self>,
        caller: &Caller,
        session: Uuid,
    ) -> Result<Option<String>> {
        let lock = [LOCK.to_owned()];
        let files = self.workspace_bytes(caller, session, &lock).await?;
        let Some((_, _, lock)) = files.first() else {
            return Ok(None);
        };
        if lock.as_ref() != bundled(LOCK).as_bytes() {
            return Ok(None);
        }
        match self.warm().await {
            Ok(name) => Ok(Some(name)),
            Err(error) => {
                // Offline, or the registry is down: the sandbox installs, or
                // says itself why it cannot.
                tracing::warn!(%error, "Packages of the template are not at hand");
                Ok(None)
            }
        }
    }

    /// Makes the layer with the template's packages, unless it is there.
    pub async fn warm(self: &Arc<Self>) -> Result<String> {
        let tools = self.runner.toolchain().await.map_err(refused)?;
        let mut hash = Sha256::new();
        hash.update(bundled(LOCK));
        hash.update(bundled(MANIFEST));
        hash.update(&tools);
        let hash = hex::encode(&hash.finalize());
        let short = hash.get(2..34).unwrap_or_default();
        let name = format!("npm-{short}");
        let _one = self.warming.lock().await;
        if self.runner.has_layer(&name) {
            return Ok(name);
        }
        let spec = Spec {
            id: format!("{WARM}{}", self.rng.uuid().simple()),
            layers: Vec::new(),
            env: Vec::new(),
            limits: self.runner.limits(),
            network: Network::Registries,
        };
        let contained = self.runner.create(spec).await.map_err(refused)?;
        let made = fill_layer(contained.as_ref(), &name).await;
        if let Err(error) = contained.kill().await {
            tracing::warn!(%error, "A sandbox for packages did not end");
        }
        made.map(|()| name)
    }
}

async fn fill_layer(contained: &dyn crate::ports::Contained, name: &str) -> Result<()> {
    for file in [MANIFEST, LOCK] {
        let text = Bytes::from_static(bundled(file).as_bytes());
        let written = contained.write(file.to_owned(), text, None).await;
        written.map_err(refused)?;
    }
    let mut command = npm(&["install", "--ignore-scripts"]);
    command.timeout = Some(INSTALL_TIME);
    let mut started = contained.start(command).await.map_err(refused)?;
    let mut said = Vec::new();
    while let Some(output) = started.output.recv().await {
        match output {
            Output::Stdout(bytes) | Output::Stderr(bytes) => {
                said.extend_from_slice(&bytes);
                let beyond = said.len().saturating_sub(500);
                said.drain(..beyond);
            }
            Output::Exit(ended) if ended.status() == 0 => {
                let kept = contained.keep_layer(name.to_owned(), MODULES.to_owned());
                return kept.await.map_err(refused);
            }
            Output::Exit(_) => break,
        }
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(SessionsError::new(
        StatusCode::BAD_GATEWAY,
        "install_failed",
        format!("packages could not be fetched: {said}"),
    ))
}

fn npm(args: &[&str]) -> Command {
    let usual = [
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
        "--loglevel=http",
    ];
    let args = args.iter().chain(&usual);
    Command {
        program: "npm".to_owned(),
        args: args.map(|arg| (*arg).to_owned()).collect(),
        ..Command::default()
    }
}

/// A name that npm takes for a package and for nothing else: no address, no
/// path, no option.
fn is_package(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let (name, version) = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('@').unwrap_or((scoped, "")),
        None => name.split_once('@').unwrap_or((name, "")),
    };
    let parts: Vec<_> = name.split('/').collect();
    let good =
        |part: &&str| !part.is_empty() && !part.starts_with(['-', '.']) && part.chars().all(plain);
    parts.len() <= 2
        && parts.iter().all(good)
        && version.len() <= 100
        && version.chars().all(|c| plain(c) || "^<>=*+| ".contains(c))
}

impl Open {
    /// Installs packages: these, or what the manifest asks for. Nothing is run
    /// when all of it is at hand.
    pub async fn install(&self, packages: &[String], job: Option<Uuid>) -> Result<Execution> {
        let odd = packages.iter().any(|name| !is_package(name));
        if packages.len() > PACKAGES_MAX || odd {
            return Err(SessionsError::invalid("these are no names of packages"));
        }
        if packages.is_empty() && self.live.layer.is_some() && self.untouched().await? {
            let nothing = Arc::new(Running::nothing());
            let run = self.boxes.rng.uuid();
            let says = "packages are at hand\n";
            return Ok(Execution::over(nothing, run, says));
        }
        let mut args = vec!["install"];
        args.extend(packages.iter().map(String::as_str));
        let exec = Exec {
            command: npm(&args),
            tool: Some("sandbox.install"),
            job,
            ..Exec::default()
        };
        self.exec(exec.within(INSTALL_TIME)).await
    }

    /// Whether the manifest and the lock file still are those of the layer.
    async fn untouched(&self) -> Result<bool> {
        for file in [MANIFEST, LOCK] {
            match self.live.contained.read(file.to_owned()).await {
                Ok(bytes) if bytes.as_ref() == bundled(file).as_bytes() => {}
                Ok(_) | Err(crate::ports::RunError::NotFound(_)) => return Ok(false),
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(true)
    }

    /// Starts the dev server unless it runs; comes back when it listens, with
    /// the address of the app.
    pub async fn start_dev_server(&self) -> Result<String> {
        let mut service = self.live.service.lock().await;
        let known = service.as_ref().map(|running| running.pid);
        let known = known.and_then(|pid| self.live.process(Some(pid), None));
        let running = if let Some(running) = known {
            running
        } else {
            let exec = Exec {
                command: self.dev_command().await,
                tag: Some("dev-server".to_owned()),
                tool: Some("sandbox.dev_server"),
                job: None,
            };
            self.exec(exec).await?.running
        };
        *service = Some(Arc::clone(&running));
        self.until_listening(&running).await?;
        Ok(self.preview_url(PORT))
    }

    /// The manifest's `dev`. Where that is Vite and nothing else, it is started
    /// without npm before it, which takes longer than Vite itself does.
    async fn dev_command(&self) -> Command {
        let manifest = self.live.contained.read(MANIFEST.to_owned()).await.ok();
        let manifest: Option<serde_json::Value> =
            manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let script = manifest
            .as_ref()
            .and_then(|all| all.pointer("/scripts/dev"));
        let plain = script.is_some_and(|script| script == "vite");
        let there = self.live.contained.stat(VITE.to_owned()).await.is_ok();
        let (program, args) = if plain && there {
            ("node", vec![VITE.to_owned()])
        } else {
            ("npm", vec!["run".to_owned(), "dev".to_owned()])
        };
        Command {
            program: program.to_owned(),
            args,
            service: true,
            ..Command::default()
        }
    }

    async fn until_listening(&self, running: &Running) -> Result<()> {
        let deadline = Instant::now() + SERVER_TIME;
        let failed = |why: &str| {
            let said = String::from_utf8_lossy(&running.tail()).into_owned();
            SessionsError::new(
                StatusCode::BAD_GATEWAY,
                "no_server",
                format!("{why}: {said}"),
            )
        };
        loop {
            if self.listening().await?.contains(&PORT) {
                return Ok(());
            }
            if self.live.process(Some(running.pid), None).is_none() {
                return Err(failed("the dev server ended"));
            }
            if Instant::now() >= deadline {
                return Err(failed("the dev server does not listen"));
            }
            tokio::time::sleep(LISTEN_EVERY).await;
        }
    }

    /// The dev server's last words; none when none was started.
    pub async fn logs(&self) -> Option<Bytes> {
        let service = self.live.service.lock().await;
        service.as_ref().map(|running| running.tail())
    }

    /// Ends the dev server, if there is one.
    pub async fn stop_dev_server(&self) -> Result<()> {
        /// To the whole group, as a terminal's end would be.
        const SIGTERM: i32 = 15;
        let mut service = self.live.service.lock().await;
        let Some(running) = service.take() else {
            return Ok(());
        };
        if self.live.process(Some(running.pid), None).is_some() {
            let asked = running.control.signal(SIGTERM).await;
            asked.map_err(refused)?;
        }
        let deadline = Instant::now() + SERVER_TIME;
        while self.listening().await?.contains(&PORT) && Instant::now() < deadline {
            tokio::time::sleep(LISTEN_EVERY).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn packages_are_names_and_nothing_else() {
        for good in [
            "react",
            "@types/react",
            "left-pad@1.3.0",
            "@a/b@^1 || ^2",
            "lodash.get",
        ] {
            assert!(is_package(good), "{good}");
        }
        for bad in [
            "",
            "-g",
            "--prefix=/",
            "../x",
            "./x",
            "a/b/c",
            "http://x/y.tgz",
            "git+ssh://x",
            "a@file:../x",
            "@a/-b",
            "a b",
            "x@npm:y",
            "@/a",
            "a\n",
        ] {
            assert!(!is_package(bad), "{bad}");
        }
    }

    #[test]
    fn the_template_is_whole() {
        let files = template(USUAL).unwrap();
        for wanted in [MANIFEST, LOCK, "index.html", "src/main.tsx"] {
            assert!(
                files
                    .iter()
                    .any(|(path, text)| *path == wanted && !text.is_empty())
            );
        }
        assert!(template("other").is_none());
    }
}
