//! From a folder, the environment and flags to settings. This is the only
//! place that reads the process's environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kernel::Secret;
use server::config::{AuthSource, Flag, Loaded, Mode, Sources, load};
use server::operate::Search;
use server::project::Project;

use crate::args::DatabaseArgs;
use crate::failure::{Failure, system};

const SETTINGS_FILE: &str = "ferrobase.toml";

/// The environment, read once. It prints nothing: it holds secrets.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
    path: Option<OsString>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        Self {
            // No setting of ours has a name or value that is not text.
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            path: std::env::var_os("PATH"),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Where PostgreSQL's programs are looked for.
    pub(crate) fn search(&self) -> Search {
        Search {
            bindir: self.get("FERROBASE_PG_BINDIR").map(PathBuf::from),
            path: self.path.clone(),
        }
    }
}

/// A project's folder with its settings.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) project: Option<Project>,
    pub(crate) sources: Sources,
    pub(crate) loaded: Loaded,
    pub(crate) search: Search,
}

impl Workspace {
    pub(crate) fn open(
        mode: Mode,
        dir: &Path,
        environment: &Environment,
        flags: Vec<Flag>,
    ) -> Result<Self, Failure> {
        let what = format!("open the folder {}", dir.display());
        let root = std::fs::canonicalize(dir).map_err(|error| system(&what, &error))?;
        let project = Project::load(&root, &|name| environment.get(name).map(str::to_owned))?;
        let sources = Sources {
            auth: of_auth(project.as_ref(), environment)?.into(),
            project: project
                .as_ref()
                .map(|project| of_project(project, mode))
                .unwrap_or_default(),
            file: settings_file(&root)?,
            env: environment.variables.clone(),
            flags,
            database: Vec::new(),
        };
        let mut loaded = load(mode, &sources)?;
        let data_dir = root.join(&loaded.config.db.data_dir);
        loaded.config.db.data_dir = data_dir;
        let backup = &mut loaded.config.backup;
        backup.folder = root.join(&backup.folder);
        backup.key_file = backup.key_file.take().map(|path| root.join(path));
        Ok(Self {
            root,
            project,
            sources,
            loaded,
            search: environment.search(),
        })
    }

    /// Where the managed cluster, keys and files are.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.loaded.config.db.data_dir
    }

    /// What was ignored in the settings, one sentence each.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &String> {
        let of_project = self.project.iter().flat_map(|project| &project.warnings);
        self.loaded.warnings.iter().chain(of_project)
    }
}

fn settings_file(root: &Path) -> Result<Option<(String, String)>, Failure> {
    match std::fs::read_to_string(root.join(SETTINGS_FILE)) {
        Ok(text) => Ok(Some((SETTINGS_FILE.to_owned(), text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(system("read ferrobase.toml", &error)),
    }
}

/// What the auth room reads for itself.
fn of_auth(project: Option<&Project>, environment: &Environment) -> Result<AuthSource, Failure> {
    let in_env = environment.get("GOTRUE_JWT_KEYS").map(str::to_owned);
    let path = project.and_then(|project| {
        let path = project.config.auth.signing_keys_path.as_ref()?;
        Some(project.root.join("supabase").join(path))
    });
    let signing_keys = match (in_env, path) {
        (Some(text), _) => Some(text),
        (None, Some(path)) => Some(std::fs::read_to_string(&path).map_err(|error| {
            system(&format!("read the signing keys {}", path.display()), &error)
        })?),
        (None, None) => None,
    };
    let variables = environment.variables.iter();
    let own =
        |(name, _): &&(String, String)| name.starts_with("GOTRUE_") || name == "API_EXTERNAL_URL";
    Ok(AuthSource {
        section: project
            .map(|project| project.config.auth.section.clone())
            .unwrap_or_default(),
        folder: project.map(|project| project.root.clone()),
        signing_keys: signing_keys.map(Secret::new),
        env: variables.filter(own).cloned().collect(),
    })
}

/// What `supabase/config.toml` says, by our names.
fn of_project(project: &Project, mode: Mode) -> Vec<(&'static str, String)> {
    let (api, db, inbox, storage) = (
        &project.config.api,
        &project.config.db,
        &project.config.inbox,
        &project.config.storage,
    );
    // The file is written for a developer's machine and says so in every
    // project; on a server it must not show sign-in links to the next account.
    let shown = inbox.enabled.filter(|_| mode == Mode::Dev);
    let join = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(","));
    let said = [
        ("api.port", api.port.map(|port| port.to_string())),
        ("db.schemas", join(&api.schemas)),
        ("db.extra_search_path", join(&api.extra_search_path)),
        ("db.max_rows", api.max_rows.map(|rows| rows.to_string())),
        ("db.port", db.port.map(|port| port.to_string())),
        ("inbox.enabled", shown.map(|shown| shown.to_string())),
        (
            "storage.enabled",
            storage.enabled.map(|enabled| enabled.to_string()),
        ),
        (
            "storage.file_size_limit",
            storage.file_size_limit.map(|bytes| bytes.to_string()),
        ),
        ("inbox.port", inbox.port.map(|port| port.to_string())),
    ];
    said.into_iter()
        .filter_map(|(path, value)| Some((path, value?)))
        .collect()
}

/// A flag, if it was given.
pub(crate) fn flag(
    path: &'static str,
    flag: &'static str,
    value: Option<impl ToString>,
) -> Option<Flag> {
    Some(Flag {
        path,
        flag,
        value: value?.to_string(),
    })
}

/// The apps that were named, if any was.
pub(crate) fn apps(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}

impl DatabaseArgs {
    pub(crate) fn flag(&self) -> Option<Flag> {
        flag("db.url", "--database-url", self.database_url.as_ref())
    }
}
