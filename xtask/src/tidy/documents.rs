//! Rules about documents, lists that may only shrink, and what must not leak into the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::conformance::Known;
use crate::repo::Repo;
use crate::tidy::{Complaint, File};

/// The lists that may only shrink.
const KNOWN_FAILURES: [&str; 3] = [
    "tests/conformance/known-failures.txt",
    "tests/clients/known-failures.txt",
    "tests/clients/known-failures-server.txt",
];

/// The public registries that sandboxes may reach unless told otherwise.
const EGRESS_LIST: &str = "crates/sandbox/src/egress/registries.txt";

/// Lock files name packages, not the mirror that one machine happened to use. The names are
/// written in two halves so that this file does not trip its own rule.
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi", ".org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
];

pub(super) fn check(repo: &Repo, files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    complaints.extend(decisions(files));
    for list in KNOWN_FAILURES {
        complaints.extend(known_failures(repo, files, list));
    }
    let parent = machine_folder(repo.root());
    for file in files {
        complaints.extend(leaks(file, parent.as_deref()));
    }
    complaints
}

/// Decision records are `docs/adr/NNNN-title.md`, each number once.
fn decisions(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut numbers: BTreeMap<&str, &File> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|file| file.is_below("docs/adr") && file.has_extension("md"))
    {
        let number = file.name().split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            complaints.push(Complaint::new(
                &file.path,
                1,
                "a decision record is named NNNN-title.md",
            ));
        } else if let Some(first) = numbers.insert(number, file) {
            let text = format!("the number {number} is taken by {}", first.path.display());
            complaints.push(Complaint::new(&file.path, 1, text));
        }
    }
    complaints
}

/// The list is well-formed and has no case that the version before did not have.
fn known_failures(repo: &Repo, files: &[File], list: &str) -> Vec<Complaint> {
    let path = Path::new(list);
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return Vec::new();
    };
    let now = match Known::parse(&file.text) {
        Ok(known) => known,
        Err(error) => return vec![Complaint::new(path, 1, format!("{error:#}"))],
    };
    let Some(before) = version_before(repo, list, &file.text) else {
        return Vec::new();
    };
    let before: BTreeSet<&str> = before
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let added = now.ids().filter(|id| !before.contains(id));
    let line = |id: &str| {
        file.lines()
            .find(|(_, line)| line.starts_with(id))
            .map_or(1, |(number, _)| number)
    };
    added
        .map(|id| {
            Complaint::new(
                path,
                line(id),
                format!("{id} is new; this list may only shrink"),
            )
        })
        .collect()
}

/// The list as it was where this work branched off: on a branch the merge base with the main
/// branch, with local edits the last commit, else the commit before. Nothing when it is new.
fn version_before(repo: &Repo, list: &str, now: &str) -> Option<String> {
    let at = |commit: &str| repo.git(["show", &format!("{commit}:{list}")]);
    let head = repo.git(["rev-parse", "HEAD"])?;
    let base = repo.git(["merge-base", "HEAD", "origin/main"]);
    match base {
        Some(base) if base != head => at(base.trim()),
        _ if at("HEAD").is_some_and(|text| text != now) => at("HEAD"),
        _ => at("HEAD~1"),
    }
}

/// The folder that holds this checkout, when its name would give the machine away. Folders that
/// every machine has are no secret.
fn machine_folder(root: &Path) -> Option<String> {
    const COMMON: [&str; 8] = [
        "/", "/tmp", "/usr", "/usr/src", "/var", "/opt", "/srv", "/home",
    ];
    let parent = root.parent()?.to_str()?;
    (parent.starts_with('/') && !COMMON.contains(&parent)).then(|| format!("{parent}/"))
}

/// Hosts of package mirrors and paths of one machine.
fn leaks(file: &File, machine: Option<&str>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        // The one list whose matter they are: where sandboxes may get packages.
        let listed = file.path.as_os_str() == EGRESS_LIST;
        let mut hosts = REGISTRY_HOSTS.iter();
        if let Some(host) = hosts.find(|host| !listed && line.contains(*host)) {
            complaints.push(Complaint::new(
                &file.path,
                number,
                format!("names the package host {host}"),
            ));
        }
        let home = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
        if let Some(path) = home
            .into_iter()
            .chain(machine)
            .find(|path| has_path(line, path))
        {
            complaints.push(Complaint::new(
                &file.path,
                number,
                format!("names a machine's folder ({path})"),
            ));
        }
    }
    complaints
}

/// Whether the path starts here, rather than in the middle of a longer one, and goes on.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(index, _)| {
        let before = line.get(..index).and_then(|text| text.chars().next_back());
        let after = line
            .get(index + path.len()..)
            .and_then(|text| text.chars().next());
        // The home that code in a sandbox finds, on every machine.
        let guests = line
            .get(index..)
            .is_some_and(|text| text.starts_with(concat!("/ho", "me/user")));
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-~/}*".contains(c))
            && after.is_some_and(char::is_alphanumeric)
            && !guests
    })
}
