//! `ferrobase gen types` beside the official CLI: the same schemas, byte for byte.
//!
//! The official CLI prints unformatted text and names the formatter to use, so its output goes
//! through that one; ours is compared as it is printed. Both come from npm at the versions of
//! `tests/clients/types`. Start at [`run`]; [`Case`]s are the schemas.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::clients;
use crate::conformance::Cluster;
use crate::repo::Repo;
use crate::setup::{self, Need};
use crate::step::{Steps, Tally};

/// How the official package formats where it formats at all.
const FORMAT: &str = r#"{"semi": false, "printWidth": 80}"#;

/// As much of a difference as fits on a screen.
const DIFF_LINES_MAX: usize = 60;

/// Installs the official CLI and compares.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/types");
    if !setup::works("npm", &["--version"]) {
        steps.skip("types", "npm is not installed");
        return;
    }
    let installed = folder.join("node_modules/.package-lock.json").is_file();
    if !installed && !setup::works("npm", &["ping", "--fetch-retries=0"]) {
        steps.skip("types", "the npm registry cannot be reached");
        return;
    }
    if let Some(node) = clients::install(&folder, "types: install", &[], steps) {
        steps.step("types", || compare(repo, &folder, &node));
    }
}

/// One database and the schemas to print.
struct Case {
    name: &'static str,
    database: &'static str,
    /// As `--schema` takes them; nothing leaves the flag out.
    schemas: &'static str,
}

const fn case(name: &'static str, database: &'static str, schemas: &'static str) -> Case {
    Case {
        name,
        database,
        schemas,
    }
}

const CASES: [Case; 11] = [
    case("public", "everything", ""),
    case("two schemas", "everything", "public,other"),
    case(
        "all schemas",
        "everything",
        "public,other,empty,We ird-schema,extensions,unseen",
    ),
    case("without public", "everything", "other"),
    case("types only", "everything", "unseen"),
    case("no such schema", "everything", "nope"),
    case("better", "better", "public,Quoted Schema"),
    case("nothing", "postgres", ""),
    case("Open Lovable", "project", ""),
    case("platform", "project", "public,auth,storage,extensions"),
    case("PostgREST's fixtures", "pgrst", "test,private,public,v1,v2"),
];

/// A line that differs on purpose.
struct Difference {
    case: String,
    official: String,
    ours: String,
}

fn compare(repo: &Repo, folder: &Path, node: &Path) -> Result<Tally> {
    setup::ensure(&[Need::Postgres])?;
    let data = repo
        .conformance_data()
        .filter(|_| setup::ensure(&[Need::Postgis]).is_ok());
    if data.is_none() {
        println!("PostgREST's fixtures are not beside the checkout; that case is left out");
    }
    let cluster = match &data {
        Some(data) => Cluster::start(data, crate::conformance::Version::V14)?,
        None => Cluster::empty("types")?,
    };
    load(repo, &cluster)?;
    let differences = known_differences(&folder.join("known-differences.toml"))?;
    let bench = Bench {
        repo,
        cluster: &cluster,
        official: official(folder)?,
        node,
        formatter: folder.join("node_modules/oxfmt/bin/oxfmt"),
    };
    let mut tally = Tally::default();
    for case in &CASES {
        if case.database == "pgrst" && data.is_none() {
            continue;
        }
        let of_case: Vec<&Difference> = differences
            .iter()
            .filter(|one| one.case == case.name)
            .collect();
        match bench.check(case, &of_case) {
            Ok(lines) => {
                println!("same: {} ({lines} lines)", case.name);
                tally.passed += 1;
            }
            Err(error) => {
                println!("DIFFERENT: {}\n{error:#}", case.name);
                tally.failed += 1;
            }
        }
    }
    Ok(tally)
}

/// Makes the databases of all cases but PostgREST's own.
fn load(repo: &Repo, cluster: &Cluster) -> Result<()> {
    for name in ["everything", "better"] {
        let file = repo.path(format!("crates/server/tests/data/typegen/{name}.sql"));
        cluster.psql("postgres", &["-c", &format!("CREATE DATABASE {name}")])?;
        let file = file.to_string_lossy();
        cluster.psql(name, &["-v", "ON_ERROR_STOP=1", "-f", &file])?;
    }
    cluster.psql("postgres", &["-c", "CREATE DATABASE project"])?;
    let mut up = Command::new(repo.binary());
    up.arg("--dir").arg(repo.path("tests/clients/project"));
    up.args([
        "migration",
        "up",
        "--database-url",
        &cluster.superuser_uri("project"),
    ]);
    output(&mut up).map(drop)
}

fn known_differences(file: &Path) -> Result<Vec<Difference>> {
    let text = std::fs::read_to_string(file).context("could not read the known differences")?;
    let table: toml::Table = text.parse().context("the known differences are no TOML")?;
    let list = table.get("difference").and_then(toml::Value::as_array);
    let entry = |value: &toml::Value| {
        let text = |name| Some(value.get(name)?.as_str()?.to_owned());
        text("reason").filter(|reason| !reason.is_empty())?;
        Some(Difference {
            case: text("case")?,
            official: text("official")?,
            ours: text("ours")?,
        })
    };
    let entries: Option<Vec<Difference>> = list.into_iter().flatten().map(entry).collect();
    let entries =
        entries.context("a known difference has `case`, `official`, `ours` and `reason`")?;
    if let Some(one) = entries
        .iter()
        .find(|one| CASES.iter().all(|case| case.name != one.case))
    {
        bail!("there is no case `{}`", one.case);
    }
    Ok(entries)
}

/// The binary itself: the package's own starter only looks for it.
fn official(folder: &Path) -> Result<PathBuf> {
    let packages = folder.join("node_modules/@supabase");
    let entries = std::fs::read_dir(&packages).context("the official CLI is not installed")?;
    let mut found = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("bin/supabase"))
        .filter(|binary| setup::works(&binary.to_string_lossy(), &["--version"]));
    found
        .next()
        .context("the official CLI has no binary for this machine")
}

/// Everything that a comparison needs.
struct Bench<'a> {
    repo: &'a Repo,
    cluster: &'a Cluster,
    official: PathBuf,
    node: &'a Path,
    formatter: PathBuf,
}

impl Bench<'_> {
    /// The number of lines that are the same, or the difference.
    fn check(&self, case: &Case, differences: &[&Difference]) -> Result<usize> {
        let ours = self.ours(case)?;
        let mut theirs = self.theirs(case)?;
        for known in differences {
            theirs = replace_line(&theirs, &known.official, &known.ours).with_context(|| {
                format!(
                    "`{}` is no longer printed: take it off the list",
                    known.official
                )
            })?;
        }
        if ours == theirs {
            return Ok(ours.lines().count());
        }
        let (official, own) = (self.file("official.ts"), self.file("ferrobase.ts"));
        std::fs::write(&official, theirs)?;
        std::fs::write(&own, ours)?;
        let diff = Command::new("git")
            .args(["diff", "--no-index", "--no-color", "--unified=2", "--"])
            .args([&official, &own])
            .output()
            .context("could not start git")?;
        let diff = String::from_utf8_lossy(&diff.stdout).into_owned();
        let shown: Vec<&str> = diff.lines().take(DIFF_LINES_MAX).collect();
        bail!("{}", shown.join("\n"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.cluster.folder().join(name)
    }

    /// A folder without any settings.
    fn nowhere(&self) -> Result<PathBuf> {
        let folder = self.file("nowhere");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn ours(&self, case: &Case) -> Result<String> {
        let mut command = Command::new(self.repo.binary());
        command.arg("--dir").arg(self.nowhere()?);
        command.args(["gen", "types", "typescript", "--database-url"]);
        command.arg(self.cluster.superuser_uri(case.database));
        if !case.schemas.is_empty() {
            command.args(["--schema", case.schemas]);
        }
        output(&mut command)
    }

    fn theirs(&self, case: &Case) -> Result<String> {
        let nowhere = self.nowhere()?;
        let mut command = Command::new(&self.official);
        command
            .current_dir(&nowhere)
            .env("HOME", &nowhere)
            .env("DO_NOT_TRACK", "1")
            // It says on standard output that the server has no TLS, unless asked not to try.
            .env("PGSSLMODE", "disable")
            .args([
                "gen",
                "types",
                "--db-url",
                &self.cluster.superuser_uri(case.database),
            ]);
        if !case.schemas.is_empty() {
            command.args(["--schema", case.schemas]);
        }
        let unformatted = self.file("types.ts");
        std::fs::write(&unformatted, output(&mut command)?)?;
        let settings = self.file("format.json");
        std::fs::write(&settings, FORMAT)?;
        let mut format = Command::new(self.node);
        format
            .current_dir(self.cluster.folder())
            .arg(&self.formatter)
            .arg("--config")
            .arg(&settings)
            .arg(&unformatted);
        output(&mut format)?;
        std::fs::read_to_string(&unformatted).context("the formatter left nothing")
    }
}

/// Replaces every line with that text, whatever its indentation; nothing when there is none.
fn replace_line(text: &str, from: &str, to: &str) -> Option<String> {
    let mut found = false;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let start = line.trim_start();
        if start == from {
            found = true;
            out.extend(std::iter::repeat_n(' ', line.len() - start.len()));
            out.push_str(to);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    found.then_some(out)
}

/// What a command prints, or what it complained about. Its streams are files: the official CLI may
/// leave a process behind that would hold a pipe open.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let file = |stream| {
        std::env::temp_dir().join(format!("ferrobase-types-{}.{stream}", std::process::id()))
    };
    let (out, err) = (file("out"), file("err"));
    let status = command
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).context("could not make a file")?)
        .stderr(std::fs::File::create(&err).context("could not make a file")?)
        .status()
        .with_context(|| format!("could not start {name}"))?;
    let printed = std::fs::read_to_string(&out).context("the output is not text")?;
    let complaints = std::fs::read_to_string(&err).unwrap_or_default();
    // Left over in the worst case, where the system cleans up anyway.
    let _ = (std::fs::remove_file(&out), std::fs::remove_file(&err));
    if status.success() {
        return Ok(printed);
    }
    bail!("{name} failed: {printed}{complaints}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_difference_must_still_be_there() {
        let text = "a: {\n  b: null\n}\n";
        let replaced = replace_line(text, "b: null", "b: 1");
        assert_eq!(replaced.as_deref(), Some("a: {\n  b: 1\n}\n"));
        assert_eq!(replace_line(text, "b: 2", "b: 1"), None);
    }

    #[test]
    fn the_list_is_read_and_every_entry_has_a_reason() {
        let repo = Repo::find().expect("a checkout");
        let file = repo.path("tests/clients/types/known-differences.toml");
        assert!(!known_differences(&file).expect("a list").is_empty());
        let folder = std::env::temp_dir().join(format!("types-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("list.toml");
        for text in [
            "[[difference]]\ncase = 'better'\nofficial = 'a'\nours = 'b'\n",
            "[[difference]]\ncase = 'x'\nofficial = 'a'\nours = 'b'\nreason = 'c'\n",
        ] {
            std::fs::write(&file, text).expect("a file");
            assert!(known_differences(&file).is_err(), "{text}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
