//! The engine: makes sandboxes, knows them by id, watches over limits.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use kernel::Tasks;

use crate::cgroup::{self, Cgroup, Cgroups};
use crate::control::lock;
use crate::files::Files;
use crate::launch::{self, Launched, Spawner};
use crate::strength::{self, Strength, Wall};
use crate::uids::Uids;
use crate::wire::{CA_FILE, LayerMount, Mode, PROXY_PORT, Rlimits, Setup};
use crate::{Config, Limits, Network, Sandbox, SandboxError, Spec, egress, watch};

/// Sandboxes that live at once: each has at least two processes and a dozen
/// mounts.
const LIVING_MOST: usize = 512;
/// /tmp and /dev/shm are memory; each may have this part of the memory limit.
const TMP_PART: u64 = 4;

/// Makes sandboxes and knows them by id.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    strength: Strength,
    spawner: Spawner,
    cgroups: Option<Cgroups>,
    uids: Option<Uids>,
    living: Mutex<HashMap<String, Slot>>,
    tasks: Tasks,
    runtime: tokio::runtime::Handle,
}

/// A place among the living.
#[derive(Debug)]
enum Slot {
    /// Taken by who makes it now.
    Making,
    Here(Arc<Sandbox>),
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
    move |error| SandboxError::system(what, error)
}

impl Engine {
    /// Looks at what this machine can do, by doing it, and starts the
    /// watchdogs. What was left by an earlier engine stays as workspaces.
    pub async fn start(config: Config, tasks: Tasks) -> Result<Arc<Self>, SandboxError> {
        let private = |folder: &Path| {
            fs::create_dir_all(folder)?;
            // Sandboxes' users pass through on their way to their own.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
        };
        private(&config.folder).map_err(system("make the sandboxes' folder"))?;
        private(&config.cache).map_err(system("make the layers' folder"))?;
        // Layers are writable for all, so that a copy of them is.
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&config.cache, closed).map_err(system("close the layers' folder"))?;
        let spawner = Spawner::start(config.launcher.clone()).map_err(system("start a thread"))?;
        let root = rustix::process::geteuid().is_root();
        let uids = root.then(|| Uids::of(&config.uids, &config.folder));
        let (cgroups, uids) = (Cgroups::find(), uids.transpose()?);
        let mut engine = Self {
            strength: Strength {
                wall: Wall::Nothing,
                cgroups: cgroups.is_some(),
                notes: Vec::new(),
            },
            config,
            spawner,
            cgroups,
            uids,
            living: Mutex::default(),
            tasks,
            runtime: tokio::runtime::Handle::current(),
        };
        let (wall, notes) = strength::probe(&engine).await;
        engine.strength.wall = wall;
        engine.strength.notes = notes;
        let engine = Arc::new(engine);
        for (name, look) in [("sandbox memory", true), ("sandbox disk", false)] {
            let weak = Arc::downgrade(&engine);
            let stop = engine.tasks.clone();
            engine.tasks.spawn(name, async move {
                let looking = async {
                    if look {
                        watch::memory(weak).await;
                    } else {
                        watch::disk(weak).await;
                    }
                };
                tokio::select! {
                    () = looking => {}
                    () = stop.stopping() => {}
                }
            });
        }
        Ok(engine)
    }

    /// What is in force.
    #[must_use]
    pub fn strength(&self) -> &Strength {
        &self.strength
    }

    /// Makes a sandbox. A workspace that is there already (of an earlier run)
    /// is used as it is.
    pub async fn create(self: &Arc<Self>, spec: Spec) -> Result<Arc<Sandbox>, SandboxError> {
        spec.check()?;
        if !self.strength.isolated() && !self.config.policy.insecure_allowed {
            return Err(SandboxError::NotIsolated(self.strength.notes.join("; ")));
        }
        self.reserve(&spec.id)?;
        let (engine, id) = (Arc::clone(self), spec.id.clone());
        // On the engine's own runtime, which outlives the caller's, and to an
        // end even when the caller does not wait for it.
        let making = async move {
            let made = engine.make(spec).await;
            let mut living = lock(&engine.living);
            match &made {
                Ok(sandbox) if sandbox.alive() => {
                    living.insert(id, Slot::Here(Arc::clone(sandbox)));
                }
                _ => {
                    living.remove(&id);
                }
            }
            made
        };
        self.detached("sandbox create", making).await
    }

    /// Runs `work` to its end on the engine's own runtime, waited for or not.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let done = self.tasks.spawn_on(name, work, &self.runtime);
        done.await.unwrap_or(Err(SandboxError::Ended))
    }

    fn reserve(&self, id: &str) -> Result<(), SandboxError> {
        let mut living = lock(&self.living);
        if living.contains_key(id) {
            return Err(SandboxError::Exists(format!("sandbox {id}")));
        }
        if living.len() >= LIVING_MOST {
            return Err(SandboxError::TooMuch {
                what: "sandboxes",
                most: LIVING_MOST as u64,
            });
        }
        living.insert(id.to_owned(), Slot::Making);
        Ok(())
    }

    async fn make(self: &Arc<Self>, spec: Spec) -> Result<Arc<Sandbox>, SandboxError> {
        let mode = match self.strength.wall {
            Wall::Namespaces { as_root } => Mode::Namespaces { as_root },
            Wall::Landlock => Mode::Landlock,
            Wall::Nothing => Mode::Nothing,
        };
        let limits = spec.limits.within(&self.config.limits);
        let (launched, plan) = self.launch(&spec, mode, &limits).await?;
        let sandbox = Arc::new(Sandbox {
            id: spec.id.clone(),
            strength: self.strength.clone(),
            control: Arc::new(launched.control),
            pid: launched.pid,
            init: launched.init,
            files: Files::new(launched.home, plan.uid, self.tasks.clone()),
            layers: self.config.cache.clone(),
            cgroup: plan.cgroup,
            disk: AtomicU64::new(0),
            tasks: self.tasks.clone(),
            runtime: self.runtime.clone(),
            running: Mutex::default(),
            frozen: Arc::default(),
            limits,
        });
        if let Some(listener) = launched.listener {
            let rules = egress::Rules::of(&self.config.egress, &spec.network);
            let proxy = egress::Proxy::start(listener, rules, self.tasks.clone());
            let ended = Arc::clone(&sandbox.control);
            self.tasks.spawn("sandbox egress", async move {
                tokio::select! {
                    () = proxy => {}
                    () = ended.ended() => {}
                }
            });
        }
        self.tasks.spawn(
            "sandbox",
            attend(Arc::clone(self), Arc::clone(&sandbox), launched.outer),
        );
        Ok(sandbox)
    }

    /// Folders, groups, and an init in them.
    async fn launch(
        &self,
        spec: &Spec,
        mode: Mode,
        limits: &Limits,
    ) -> Result<(Launched, Plan), SandboxError> {
        let uid = self
            .uids
            .as_ref()
            .map(|all| all.of_sandbox(&spec.id))
            .transpose()?;
        let folder = self.folder_of(&spec.id);
        let home = folder.join("home");
        let layers = self.layers(spec, mode, &folder, uid)?;
        let folders = own_folder(&folder, None)
            .and_then(|()| own_folder(&folder.join("root"), None))
            .and_then(|()| own_folder(&home, uid));
        folders.map_err(system("make the workspace"))?;
        let name = format!("{}{}-{}", cgroup::PREFIX, std::process::id(), spec.id);
        let cgroup = self
            .cgroups
            .as_ref()
            .map(|groups| groups.make(&name, limits))
            .transpose();
        let cgroup = cgroup.map_err(system("make a control group"))?;
        let setup = Setup {
            mode,
            root: folder.join("root"),
            home,
            layers,
            read_only: self.config.read_only.clone(),
            ca_file: self.config.egress.ca_file.clone(),
            uid,
            cgroup_procs: cgroup.as_ref().map_or_else(Vec::new, Cgroup::procs),
            limits: Rlimits {
                // Counted per user: other servers' sandboxes may have the same.
                pids: if cgroup.is_some() {
                    u64::MAX
                } else {
                    u64::from(limits.pids)
                },
                file_bytes: limits.disk_bytes,
                data_bytes: cgroup.is_none().then_some(limits.memory_bytes),
                tmp_bytes: limits.memory_bytes / TMP_PART,
            },
            network: spec.network != Network::None,
            env: self.environment(spec),
        };
        match launch::launch(&self.spawner, setup).await {
            Ok(launched) => Ok((launched, Plan { uid, cgroup })),
            Err(error) => {
                if let Some(group) = cgroup {
                    group.remove().await;
                }
                Err(error)
            }
        }
    }

    /// Tries a mode: a whole sandbox, and a program in it.
    pub(crate) async fn attempt(&self, mode: Mode) -> Result<(), SandboxError> {
        let spec = Spec::new(format!("probe-{}", std::process::id()));
        let limits = self.config.limits.clone();
        let tried = async {
            let (launched, plan) = self.launch(&spec, mode, &limits).await?;
            let done = strength::try_program(&launched).await;
            launched.control.hang_up();
            let mut outer = launched.outer;
            let _ = tokio::task::spawn_blocking(move || outer.wait()).await;
            if let Some(group) = plan.cgroup {
                group.remove().await;
            }
            done
        };
        let done = tried.await;
        let _ = crate::tree::remove(&self.folder_of(&spec.id));
        if let Some(uids) = &self.uids {
            uids.free(&spec.id);
        }
        done
    }

    fn layers(
        &self,
        spec: &Spec,
        mode: Mode,
        folder: &Path,
        uid: Option<u32>,
    ) -> Result<Vec<LayerMount>, SandboxError> {
        let mut mounts = Vec::new();
        for layer in spec.all_layers() {
            let lower = self.config.cache.join(&layer.name);
            if !self.has_layer(&layer.name) {
                return Err(SandboxError::NotFound(format!("layer {}", layer.name)));
            }
            if !matches!(mode, Mode::Namespaces { .. }) {
                return Err(SandboxError::Unsupported("layers need mounts of their own"));
            }
            // Of the home itself the upper part is the workspace.
            let own = folder.join("merged").join(layer.at.replace('/', "%"));
            let upper = if layer.at.is_empty() {
                folder.join("home")
            } else {
                own.join("upper")
            };
            let work = if layer.at.is_empty() {
                folder.join("work")
            } else {
                own.join("work")
            };
            for part in [&upper, &work] {
                own_folder(part, uid).map_err(system("make a layer's folders"))?;
            }
            mounts.push(LayerMount {
                at: layer.at,
                lower,
                upper,
                work,
            });
        }
        Ok(mounts)
    }

    fn environment(&self, spec: &Spec) -> Vec<(String, String)> {
        let mut env = Vec::new();
        if spec.network != Network::None {
            let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                env.push((name.to_owned(), proxy.clone()));
            }
            for name in ["NO_PROXY", "no_proxy"] {
                env.push((name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
            }
            env.extend(self.config.egress.env.iter().cloned());
        }
        if self.config.egress.ca_file.is_some() {
            for name in egress::CA_VARIABLES {
                env.push(((*name).to_owned(), CA_FILE.to_owned()));
            }
        }
        env.extend(spec.env.iter().cloned());
        env
    }

    pub(crate) fn folder_of(&self, id: &str) -> PathBuf {
        self.config.folder.join(id)
    }

    /// A sandbox that lives.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Sandbox>> {
        match lock(&self.living).get(id) {
            Some(Slot::Here(sandbox)) => Some(Arc::clone(sandbox)),
            _ => None,
        }
    }

    pub(crate) fn living(&self) -> Vec<Arc<Sandbox>> {
        let living = lock(&self.living);
        let here = living.values().filter_map(|slot| match slot {
            Slot::Here(sandbox) => Some(Arc::clone(sandbox)),
            Slot::Making => None,
        });
        here.collect()
    }

    /// Ids of those that live.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let mut ids: Vec<_> = lock(&self.living).keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Ends a sandbox; its workspace stays. False when there is none.
    pub async fn kill(&self, id: &str) -> bool {
        let Some(sandbox) = self.get(id) else {
            return false;
        };
        sandbox.kill().await;
        // Its place is free for the next of that name from here on.
        lock(&self.living).remove(id);
        true
    }

    /// Ends a sandbox and removes its workspace.
    pub async fn remove(&self, id: &str) -> Result<(), SandboxError> {
        Spec::new(id).check()?;
        self.kill(id).await;
        let folder = self.folder_of(id);
        let removed = tokio::task::spawn_blocking(move || crate::tree::remove(&folder));
        let removed = removed.await.map_err(|_| SandboxError::Ended)?;
        removed.map_err(system("remove the workspace"))?;
        if let Some(uids) = &self.uids {
            uids.free(id);
        }
        Ok(())
    }

    /// Whether a layer of that name is in the cache.
    #[must_use]
    pub fn has_layer(&self, name: &str) -> bool {
        let layer = crate::Layer {
            name: name.to_owned(),
            at: String::new(),
        };
        layer.check().is_ok() && self.config.cache.join(name).is_dir()
    }
}

/// What a launch leaves to be taken care of.
struct Plan {
    uid: Option<u32>,
    cgroup: Option<Cgroup>,
}

/// Listens to a sandbox until it ends, and tidies up after it.
async fn attend(engine: Arc<Engine>, sandbox: Arc<Sandbox>, mut outer: std::process::Child) {
    tokio::select! {
        () = sandbox.control.listen() => {}
        () = engine.tasks.stopping() => {
            let signal = rustix::process::Signal::KILL;
            let _ = rustix::process::pidfd_send_signal(&sandbox.init, signal);
        }
    }
    // The outer process ends when everything inside has.
    let _ = tokio::task::spawn_blocking(move || outer.wait()).await;
    if let Some(group) = &sandbox.cgroup {
        group.remove().await;
    }
    // Who waits for the end may make the next one of that name.
    sandbox.control.finish();
    let mut living = lock(&engine.living);
    if matches!(living.get(&sandbox.id), Some(Slot::Here(here)) if Arc::ptr_eq(here, &sandbox)) {
        living.remove(&sandbox.id);
    }
}

/// A folder that is `owner`'s, private to it; what is there keeps its owner
/// only if it is that one.
fn own_folder(folder: &Path, owner: Option<u32>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let about = fs::symlink_metadata(folder)?;
    let mode = if owner.is_some() { 0o700 } else { 0o711 };
    if about.mode() & 0o777 != mode {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    }
    match owner {
        Some(uid) if about.uid() != uid => std::os::unix::fs::lchown(folder, Some(uid), Some(uid)),
        _ => Ok(()),
    }
}
