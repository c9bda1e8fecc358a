//! What the script does with a prompt: one of a few ready projects by keyword,
//! or a change of plain text in the files that are there. Pure; anything else
//! is answered by saying what this is.

/// What it calls itself.
pub(crate) const LABEL: &str = "Scripted demo, no AI model was called.";

/// A file in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: String,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// For people.
    pub(crate) plan: String,
    /// Whole files; none when the prompt means nothing to a script.
    pub(crate) files: Vec<File>,
}

struct Template {
    name: &'static str,
    words: &'static [&'static str],
    about: &'static str,
    app: &'static str,
}

const CSS: &str = include_str!("templates/base.css");

/// In the order in which they are looked for.
const TEMPLATES: [Template; 6] = [
    Template {
        name: "todo",
        words: &[
            "todo",
            "to-do",
            "to do",
            "task",
            "checklist",
            "shopping list",
        ],
        about: "a list of things to do that can be added, ticked off and removed, kept in the browser",
        app: include_str!("templates/todo/App.tsx"),
    },
    Template {
        name: "snake",
        words: &["snake", "game", "arcade"],
        about: "the game Snake, steered by the arrow keys",
        app: include_str!("templates/snake/App.tsx"),
    },
    Template {
        name: "dashboard",
        words: &["dashboard", "chart", "analytics", "statistics", "metrics"],
        about: "a dashboard with a few figures and a chart of sample values",
        app: include_str!("templates/dashboard/App.tsx"),
    },
    Template {
        name: "notes",
        words: &["note", "journal", "diary"],
        about: "notes that can be written, searched and removed, kept in the browser",
        app: include_str!("templates/notes/App.tsx"),
    },
    Template {
        name: "counter",
        words: &["counter", "count", "clicker"],
        about: "a counter with a step of your choice",
        app: include_str!("templates/counter/App.tsx"),
    },
    Template {
        name: "landing",
        words: &[
            "landing",
            "website",
            "web site",
            "homepage",
            "home page",
            "marketing",
            "portfolio",
            "sign up",
        ],
        about: "a landing page with three features and a form",
        app: include_str!("templates/landing/App.tsx"),
    },
];

const COLOURS: [(&str, &str); 12] = [
    ("blue", "#2563eb"),
    ("green", "#16a34a"),
    ("red", "#dc2626"),
    ("orange", "#ea580c"),
    ("purple", "#9333ea"),
    ("violet", "#7c3aed"),
    ("pink", "#db2777"),
    ("teal", "#0d9488"),
    ("yellow", "#ca8a04"),
    ("black", "#111827"),
    ("brown", "#92400e"),
    ("indigo", "#4f46e5"),
];

const APP: &str = "src/App.tsx";
const STYLE: &str = "src/index.css";
const PLACE: &str = "      {/* more pages */}\n";

/// How a plan for a new project begins.
const BUILDS: &str = "This builds";

/// Reads a prompt: the words of the person, and the files below them.
pub(crate) fn answer(prompt: &str) -> Changes {
    let words = words_of(prompt);
    let asked = words.to_lowercase();
    let files = files_of(prompt);
    let ours = file(&files, APP).is_some_and(|text| text.contains("Made by the scripted demo"));
    if ours && let Some(changes) = edit(words, &asked, &files) {
        return changes;
    }
    if let Some(template) = template(&asked) {
        return build(template);
    }
    Changes {
        plan: format!("{LABEL} {}", what_it_can()),
        files: Vec::new(),
    }
}

/// What is said where no project is asked for. Who only plans is not shown the
/// files; what was said before tells whether they are ours to change.
pub(crate) fn words_for(prompt: &str, before: &[&str]) -> String {
    let words = words_of(prompt);
    let built = before.iter().any(|said| said.contains(BUILDS));
    let files = || {
        let todo = TEMPLATES.first().map(|template| template.app);
        let file = |path: &str, content: &str| File {
            path: path.to_owned(),
            content: content.to_owned(),
        };
        [file(APP, todo.unwrap_or_default()), file(STYLE, CSS)]
    };
    let changes = built
        .then(|| edit(words, &words.to_lowercase(), &files()))
        .flatten()
        .unwrap_or_else(|| answer(prompt));
    if changes.plan.starts_with(LABEL) {
        return changes.plan;
    }
    format!("{LABEL} {}", changes.plan)
}

fn what_it_can() -> String {
    let names: Vec<_> = TEMPLATES.iter().map(|template| template.name).collect();
    format!(
        "I am a script, not a model: I can only build one of these ({}), and then change its colour, \
         its title or light and dark, or add a page. Set the key of a provider, or start a local \
         model server, to have a model.",
        names.join(", ")
    )
}

/// The person's words end where material begins.
fn words_of(prompt: &str) -> &str {
    let marks = ["\n\n<plan>", "\n<file path=", "\n\nFiles of the project:"];
    let ends = marks.iter().filter_map(|mark| prompt.find(mark));
    prompt
        .get(..ends.min().unwrap_or(prompt.len()))
        .unwrap_or(prompt)
        .trim()
}

fn files_of(prompt: &str) -> Vec<File> {
    let mut rest = prompt;
    let mut files = Vec::new();
    while let Some((_, after)) = rest.split_once("<file path=\"") {
        rest = after;
        let Some((path, body)) = after.split_once("\">\n") else {
            break;
        };
        // A file that is only named ends its tag elsewhere.
        if path.contains('"') {
            continue;
        }
        let Some((content, next)) = body.split_once("\n</file>") else {
            break;
        };
        files.push(File {
            path: path.to_owned(),
            content: content.to_owned(),
        });
        rest = next;
    }
    files
}

fn file<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    let found = files.iter().find(|file| file.path == path);
    found.map(|file| file.content.as_str())
}

fn template(asked: &str) -> Option<&'static Template> {
    TEMPLATES
        .iter()
        .find(|template| template.words.iter().any(|word| asked.contains(word)))
}

fn build(template: &Template) -> Changes {
    let file = |path: &str, content: &str| File {
        path: path.to_owned(),
        content: content.to_owned(),
    };
    Changes {
        plan: format!("{LABEL} {BUILDS} {}.", template.about),
        files: vec![file(APP, template.app), file(STYLE, CSS)],
    }
}

fn edit(words: &str, asked: &str, files: &[File]) -> Option<Changes> {
    let (plan, files) = page(words, asked, files)
        .or_else(|| title(words, asked, files))
        .or_else(|| theme(asked, files))
        .or_else(|| colour(asked, files))?;
    Some(Changes {
        plan: format!("{LABEL} {plan}"),
        files,
    })
}

fn changed(path: &str, content: String) -> Vec<File> {
    vec![File {
        path: path.to_owned(),
        content,
    }]
}

/// `change the colour to green`, `make it #ff8800`.
fn colour(asked: &str, files: &[File]) -> Option<(String, Vec<File>)> {
    let hex = asked
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| c != '#' && !c.is_ascii_alphanumeric()));
    let hex = hex
        .filter_map(|word| word.strip_prefix('#').map(|digits| (word, digits)))
        .find(|(_, digits)| {
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        })
        .map(|(word, _)| (word.to_owned(), word.to_owned()));
    let named = || {
        let is_word = |name: &str| {
            asked
                .split(|c: char| !c.is_ascii_alphabetic())
                .any(|word| word == name)
        };
        let found = COLOURS.iter().find(|(name, _)| is_word(name));
        found.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    };
    let (name, value) = hex.or_else(named)?;
    let css = set_variable(file(files, STYLE)?, "--accent", &value)?;
    Some((format!("The colour becomes {name}."), changed(STYLE, css)))
}

/// `make it dark`, `light mode`.
fn theme(asked: &str, files: &[File]) -> Option<(String, Vec<File>)> {
    let (name, values) = if asked.contains("dark") {
        ("dark", ["#0f172a", "#1e293b", "#f1f5f9"])
    } else if asked.contains("light mode") || asked.contains("bright") {
        ("light", ["#f8fafc", "#ffffff", "#0f172a"])
    } else {
        return None;
    };
    let mut css = file(files, STYLE)?.to_owned();
    for (variable, value) in ["--background", "--panel", "--text"].iter().zip(values) {
        css = set_variable(&css, variable, value)?;
    }
    Some((format!("The page becomes {name}."), changed(STYLE, css)))
}

fn set_variable(css: &str, name: &str, value: &str) -> Option<String> {
    let (before, after) = css.split_once(&format!("{name}:"))?;
    let (_, after) = after.split_once(';')?;
    Some(format!("{before}{name}: {value};{after}"))
}

/// `rename the title to "My list"`.
fn title(words: &str, asked: &str, files: &[File]) -> Option<(String, Vec<File>)> {
    let wanted = ["title", "rename", "call it", "heading"];
    if !wanted.iter().any(|word| asked.contains(word)) {
        return None;
    }
    let name = said_name(words, &[" to ", " it ", " is "])?;
    let app = file(files, APP)?;
    let (before, after) = app.split_once("const TITLE = ")?;
    let (_, after) = after.split_once('\n')?;
    let text = serde_json::to_string(&name).ok()?;
    let app = format!("{before}const TITLE = {text}\n{after}");
    Some((
        format!("The title becomes \u{201c}{name}\u{201d}."),
        changed(APP, app),
    ))
}

/// `add a page called About`.
fn page(words: &str, asked: &str, files: &[File]) -> Option<(String, Vec<File>)> {
    if !(asked.contains("add") && (asked.contains("page") || asked.contains("section"))) {
        return None;
    }
    let name = said_name(words, &[" called ", " named ", " page ", " about "])?;
    let component: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut component = component
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .to_owned();
    component.get_mut(..1)?.make_ascii_uppercase();
    component.push_str("Page");
    let app = file(files, APP)?;
    if !app.contains(PLACE) || app.contains(&component) {
        return None;
    }
    let app = app.replacen(PLACE, &format!("      <{component} />\n{PLACE}"), 1);
    let app = format!("import {component} from './pages/{component}'\n{app}");
    let heading = serde_json::to_string(&name).ok()?;
    let page = format!(
        "export default function {component}() {{\n  return (\n    <section>\n      <h2>{{{heading}}}</h2>\n      \
         <p className=\"muted\">This page is still empty.</p>\n    </section>\n  )\n}}\n"
    );
    let mut files = changed(APP, app);
    files.extend(changed(&format!("src/pages/{component}.tsx"), page));
    Some((format!("A page \u{201c}{name}\u{201d} is added."), files))
}

/// Longest name that is taken out of a prompt.
const NAME_CHARS_MAX: usize = 60;

/// What stands in quotation marks, or behind the first of these words.
fn said_name(words: &str, behind: &[&str]) -> Option<String> {
    let quoted = ['"', '\u{201c}', '\'', '`'].iter().find_map(|open| {
        let close = if *open == '\u{201c}' {
            '\u{201d}'
        } else {
            *open
        };
        let (_, rest) = words.split_once(*open)?;
        rest.split_once(close).map(|(name, _)| name)
    });
    let after = || {
        behind
            .iter()
            .find_map(|word| words.split_once(word).map(|(_, name)| name))
    };
    let name = quoted.or_else(after)?;
    let name = name
        .lines()
        .next()?
        .trim()
        .trim_end_matches(['.', '!', '?'])
        .trim();
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn prompt(words: &str, files: &[File]) -> String {
        let mut text = format!("{words}\n\n<plan>\nsomething green\n</plan>\n");
        for file in files {
            let File { path, content } = file;
            let block = format!("\n<file path=\"{path}\">\n{content}\n</file>\n");
            text.push_str(&block);
        }
        text.push_str("\n<file path=\"logo.png\" not_shown=\"true\"/>\n");
        text
    }

    fn built(words: &str) -> Vec<File> {
        answer(&prompt(words, &[])).files
    }

    fn after(words: &str, files: &[File]) -> Changes {
        answer(&prompt(words, files))
    }

    #[test]
    fn keywords_choose_a_project() {
        for (words, name) in [
            ("Build a todo app", "todo"),
            ("a snake game please", "snake"),
            ("An analytics dashboard", "dashboard"),
            ("take notes", "notes"),
            ("A counter", "counter"),
            ("landing page for my cafe", "landing"),
        ] {
            let changes = answer(words);
            assert!(changes.plan.starts_with(LABEL), "{words}");
            assert!(
                changes.files[0].content.contains(&format!("demo: {name}")),
                "{words}"
            );
            assert_eq!(changes, answer(words), "the same every time");
        }
    }

    #[test]
    fn known_edits_change_the_files_that_are_there() {
        let files = built("todo");
        let green = after("make the buttons green", &files);
        assert_eq!(green.files.len(), 1);
        assert!(green.files[0].content.contains("--accent: #16a34a;"));
        let own = after("change the colour to #ff8800.", &files);
        assert!(own.files[0].content.contains("--accent: #ff8800;"));
        let dark = after("use dark mode", &files);
        assert!(dark.files[0].content.contains("--background: #0f172a;"));
        let named = after("Rename the title to \"Ada's </h1> list\"", &files);
        assert!(
            named.files[0]
                .content
                .contains(r#"const TITLE = "Ada's </h1> list""#)
        );
        let page = after("add a page called About us", &files);
        assert_eq!(page.files[1].path, "src/pages/AboutusPage.tsx");
        assert!(page.files[0].content.contains("<AboutusPage />"));
        assert!(page.files[0].content.starts_with("import AboutusPage"));
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        for words in ["compose a symphony", "", "\u{1F980}", "add a page"] {
            let changes = answer(words);
            assert!(changes.files.is_empty(), "{words}");
            assert!(changes.plan.contains("I am a script"), "{words}");
        }
        let foreign = [File {
            path: APP.to_owned(),
            content: "somebody else's".to_owned(),
        }];
        assert!(after("make it green", &foreign).files.is_empty());
    }

    #[test]
    fn a_plan_or_a_file_that_names_a_keyword_is_no_wish() {
        let text = "make it nicer\n\n<plan>\na snake game\n</plan>\n";
        assert!(answer(text).files.is_empty());
    }

    #[test]
    fn who_only_plans_knows_what_was_built_before() {
        let built = words_for("A todo list\n\nFiles of the project:\n- src/App.tsx\n", &[]);
        assert!(built.contains(BUILDS), "{built}");
        let rename = "rename title to \"Errands\"\n\nFiles of the project:\n- src/App.tsx\n";
        let said = words_for(rename, &[&built]);
        assert!(
            said.contains("Errands") && said.starts_with(LABEL),
            "{said}"
        );
        assert!(words_for(rename, &[]).contains("I am a script"));
    }
}
