//! What the coder answers, and where its files go. Pure: a model's word about
//! paths is checked here, before anything is written.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The schema's name, as providers see it.
pub(crate) const SCHEMA_NAME: &str = "code_changes";
/// Files of one answer at most: an answer with more is no edit.
const FILES_MAX: usize = 200;
/// Bytes of one answer's files at most: a step's result takes 1 MiB, and JSON
/// needs some for itself.
pub(crate) const BYTES_MAX: usize = 700 << 10;
/// Bytes of a path at most, as files of a session have it.
const PATH_BYTES_MAX: usize = 512;

/// What the coder answers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct CodeChanges {
    /// What was done, for the user.
    #[serde(default)]
    pub(crate) plan: String,
    /// Whole files.
    #[serde(default)]
    pub(crate) files: Vec<File>,
    /// Paths of files that are to go.
    #[serde(default)]
    pub(crate) deleted_files: Vec<String>,
    /// The whole text, or nothing where it stays as it is.
    #[serde(default)]
    pub(crate) package_json: String,
}

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: String,
}

/// The JSON Schema of [`CodeChanges`].
pub(crate) fn schema() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["plan", "files", "deleted_files", "package_json"],
        "properties": {
            "plan": text("One or two sentences for the user: what is built or changed."),
            "files": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["path", "content"],
                    "properties": {
                        "path": text("Relative to the project, such as src/App.tsx."),
                        "content": text("The whole file, not a difference.")
                    }
                }
            },
            "deleted_files": {
                "type": "array",
                "items": text("Path of a file that is no longer needed.")
            },
            "package_json": text("The whole package.json if dependencies change, otherwise an empty string.")
        }
    })
}

/// Where a file that the model names goes; none for what is no path of a
/// project. The original's prompts ask for absolute paths below `/app`.
pub(crate) fn place(path: &str) -> Option<String> {
    let path = path.trim();
    if path.is_empty() || path.len() > PATH_BYTES_MAX || path.contains(['\\', ':']) {
        return None;
    }
    let path = path.strip_prefix("/app/").unwrap_or(path);
    let path = path.strip_prefix("./").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    let good = |part: &&str| {
        let hidden = part.starts_with('.');
        !part.is_empty() && !hidden && !part.chars().any(char::is_control)
    };
    if !parts.iter().all(good) || parts.first() == Some(&"node_modules") {
        return None;
    }
    let at_root = match parts.as_slice() {
        [file] => is_of_project(file),
        [folder, ..] => matches!(*folder, "src" | "public"),
        [] => return None,
    };
    Some(if at_root {
        path.to_owned()
    } else {
        ["src/", path].concat()
    })
}

/// Files that stand beside `src`. Others without a folder are sources.
fn is_of_project(file: &str) -> bool {
    let whole = ["index.html", "package.json", "README.md"];
    let begins = [
        "vite.config.",
        "tailwind.config.",
        "postcss.config.",
        "tsconfig.",
    ];
    whole.contains(&file) || begins.iter().any(|begin| file.starts_with(begin))
}

impl CodeChanges {
    /// Reads an answer, and puts every file into its place. The first version
    /// of a path wins, as in the original. The error is for people.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let read: Self = serde_json::from_value(value)
            .map_err(|error| format!("the answer has another shape: {error}"))?;
        let mut changes = Self {
            plan: read.plan,
            package_json: read.package_json.trim().to_owned(),
            ..Self::default()
        };
        for file in read.files {
            let path = place(&file.path)
                .ok_or_else(|| format!("{:?} is no path of the project", shown(&file.path)))?;
            if path == "package.json" {
                if changes.package_json.is_empty() {
                    changes.package_json = file.content;
                }
            } else if !changes.files.iter().any(|known| known.path == path) {
                let content = file.content;
                changes.files.push(File { path, content });
            }
        }
        for path in read.deleted_files {
            let path = place(&path)
                .ok_or_else(|| format!("{:?} is no path of the project", shown(&path)))?;
            let kept = path == "package.json" || changes.files.iter().any(|file| file.path == path);
            if !kept && !changes.deleted_files.contains(&path) {
                changes.deleted_files.push(path);
            }
        }
        changes.check()?;
        Ok(changes)
    }

    fn check(&self) -> Result<(), String> {
        if self.files.len() + self.deleted_files.len() > FILES_MAX {
            return Err(format!("the answer has more than {FILES_MAX} files"));
        }
        let bytes: usize = self.files.iter().map(|file| file.content.len()).sum();
        if bytes + self.package_json.len() > BYTES_MAX {
            return Err(format!(
                "the answer's files take more than {BYTES_MAX} bytes"
            ));
        }
        let texts = self.files.iter().map(|file| file.content.as_str());
        if texts
            .chain([self.package_json.as_str()])
            .any(|text| text.contains('\0'))
        {
            return Err("a file of the answer has a null character".to_owned());
        }
        if !self.package_json.is_empty() {
            let read: Result<serde_json::Map<String, Value>, _> =
                serde_json::from_str(&self.package_json);
            read.map_err(|error| format!("the answer's package.json is no JSON object: {error}"))?;
        }
        Ok(())
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.deleted_files.is_empty() && self.package_json.is_empty()
    }

    /// As `work.write_files` takes them. What is to go and is not there stays
    /// so: `known` are the session's paths.
    pub(crate) fn changes(&self, known: &[String]) -> Vec<Value> {
        let put =
            |path: &str, content: &str| json!({"op": "put", "path": path, "content": content});
        let mut changes: Vec<Value> = self
            .files
            .iter()
            .map(|file| put(&file.path, &file.content))
            .collect();
        if !self.package_json.is_empty() {
            changes.push(put("package.json", &self.package_json));
        }
        let gone = self
            .deleted_files
            .iter()
            .filter(|path| known.contains(path));
        changes.extend(gone.map(|path| json!({"op": "delete", "path": path})));
        changes
    }
}

/// A model's text within a message: short, whatever it is.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_lands_in_the_project_or_nowhere() {
        for (said, goes) in [
            ("src/App.tsx", "src/App.tsx"),
            ("App.tsx", "src/App.tsx"),
            ("/app/src/App.tsx", "src/App.tsx"),
            ("./src/a/b.css", "src/a/b.css"),
            ("components/ui/button.tsx", "src/components/ui/button.tsx"),
            ("index.html", "index.html"),
            ("vite.config.ts", "vite.config.ts"),
            ("public/logo.svg", "public/logo.svg"),
        ] {
            assert_eq!(place(said).as_deref(), Some(goes), "{said}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "src/../../x",
            "src//x",
            "src/./x",
            "C:/x",
            "a\\b",
            ".env",
            "src/.env",
            "node_modules/react/index.js",
            "/app/../x",
            "src/a\nb",
            "src/",
            "//x",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
        assert_eq!(place(&"a/".repeat(400)), None);
    }

    #[test]
    fn an_answer_is_taken_whole_or_refused() {
        let read = |value| CodeChanges::read(value);
        let good = read(json!({
            "plan": "p",
            "files": [{"path": "/app/src/App.tsx", "content": "1"}, {"path": "App.tsx", "content": "2"},
                      {"path": "package.json", "content": "{\"name\":\"x\"}"}],
            "deleted_files": ["old.tsx", "src/App.tsx", "package.json"], "package_json": ""
        }));
        let good = good.expect("it is good");
        assert_eq!(good.files.len(), 1);
        assert_eq!(
            good.files.first().map(|file| file.content.as_str()),
            Some("1")
        );
        assert_eq!(good.package_json, "{\"name\":\"x\"}");
        assert_eq!(good.deleted_files, ["src/old.tsx"]);
        assert_eq!(good.changes(&["src/old.tsx".to_owned()]).len(), 3);
        assert_eq!(good.changes(&[]).len(), 2);
        let file =
            |path: &str, content: &str| json!({"files": [{"path": path, "content": content}]});
        assert!(read(file("../../etc/passwd", "x")).is_err());
        assert!(read(file("a.ts", "\0")).is_err());
        assert!(read(file("a.ts", &"x".repeat(BYTES_MAX + 1))).is_err());
        assert!(read(json!({"package_json": "[1]"})).is_err());
        assert!(read(json!({"files": "all of them"})).is_err());
        let many: Vec<_> = (0..=FILES_MAX)
            .map(|n| json!({"path": format!("{n}.ts"), "content": ""}))
            .collect();
        assert!(read(json!({"files": many})).is_err());
        assert!(read(json!({})).expect("it says nothing").is_empty());
    }
}
