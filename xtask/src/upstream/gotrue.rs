//! A real GoTrue beside ours: its people move in with their passwords, ours move out.
//!
//! Nobody publishes the program where a package manager finds it, so it is looked for beside the
//! clients' sources: `gotrue/gotrue`, built by `go build` from its own repository, with that
//! repository's `migrations` next to it. The script does the rest. Start at [`step`].

use std::path::Path;
use std::process::Command;

use crate::repo::Repo;
use crate::step::Steps;

const NAME: &str = "GoTrue's dumps, both ways";
const SCRIPT: &str = "tests/clients/upstream/gotrue.py";

/// The dumps as a step; `folder` is that of all suites.
pub(crate) fn step(repo: &Repo, steps: &mut Steps, folder: &Path) {
    let program = folder.join("gotrue/gotrue");
    let migrations = folder.join("gotrue/migrations");
    if !program.is_file() || !migrations.is_dir() {
        steps.skip(NAME, &format!("there is no {}", program.display()));
        return;
    }
    let mut script = Command::new("python3");
    script
        .arg(repo.path(SCRIPT))
        .args([&program, &migrations, &repo.binary()]);
    steps.command(NAME, &mut script);
}
