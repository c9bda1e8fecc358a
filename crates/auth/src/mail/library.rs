//! The templates in force: ours, and those that `[auth.email.template.*]` and
//! `[auth.email.notification.*]` of config.toml put in their place.
//!
//! All are read at the start, and a mistake in one is an error there, with file
//! and line. A file that changes later is read again with the next mail; if it
//! is wrong then, the last good one stays and the log says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use super::template::{Format, TEMPLATE_BYTES_MAX, Template, TemplateError};

/// A kind of mail: its name as GoTrue has it, and what we say by default.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    /// `confirmation`, `password_changed_notification`, …
    pub name: &'static str,
    subject: &'static str,
    html: &'static str,
}

macro_rules! occasion {
    ($name:literal, $subject:literal, $heading:literal, $($html:literal),+ $(,)?) => {
        Occasion {
            name: $name,
            subject: $subject,
            html: concat!("<h2>", $heading, "</h2>\n\n", $($html, "\n"),+),
        }
    };
}

/// Every kind of mail there is.
pub const TEMPLATES: &[Occasion] = &[
    occasion!(
        "confirmation",
        "Please confirm your email address",
        "One step left",
        "<p>You signed up with this address. Confirm that it is yours:</p>",
        r#"<p><a href="{{ .ConfirmationURL }}">Confirm my address</a></p>"#,
        "<p>Or enter this code where you signed up: <strong>{{ .Token }}</strong></p>",
        "<p>If it was not you, ignore this mail and nothing happens.</p>",
    ),
    occasion!(
        "invite",
        "You are invited",
        "You are invited",
        "<p>Somebody would like you to join them at {{ .SiteURL }}.</p>",
        r#"<p><a href="{{ .ConfirmationURL }}">Accept and create my account</a></p>"#,
    ),
    occasion!(
        "recovery",
        "Choose a new password",
        "Choose a new password",
        "<p>Somebody, we hope you, asked to change the password of this account.</p>",
        r#"<p><a href="{{ .ConfirmationURL }}">Choose a new password</a></p>"#,
        "<p>Or enter this code: <strong>{{ .Token }}</strong></p>",
        "<p>If it was not you, ignore this mail; your password stays as it is.</p>",
    ),
    occasion!(
        "magic_link",
        "Your link to sign in",
        "Sign in",
        "<p>This link signs you in. It works once, and not for long.</p>",
        r#"<p><a href="{{ .ConfirmationURL }}">Sign in</a></p>"#,
        "<p>Or enter this code: <strong>{{ .Token }}</strong></p>",
        "<p>If it was not you who asked, ignore this mail.</p>",
    ),
    occasion!(
        "email_change",
        "Please confirm the change of your email address",
        "A new email address",
        "<p>The address of your account shall change from {{ .Email }} to {{ .NewEmail }}.</p>",
        r#"<p><a href="{{ .ConfirmationURL }}">Confirm the change</a></p>"#,
        "<p>Or enter this code: <strong>{{ .Token }}</strong></p>",
        "<p>If it was not you, ignore this mail and change your password.</p>",
    ),
    occasion!(
        "reauthentication",
        "{{ .Token }} confirms that it is you",
        "Is it you?",
        "<p>Enter this code to go on: <strong>{{ .Token }}</strong></p>",
        "<p>If it was not you who asked, somebody is signed in to your account.</p>",
    ),
    occasion!(
        "password_changed_notification",
        "Your password has changed",
        "Your password has changed",
        "<p>The password of your account {{ .Email }} was just changed.</p>",
        "<p>If it was not you, choose a new one at once and tell whoever runs {{ .SiteURL }}.</p>",
    ),
    occasion!(
        "email_changed_notification",
        "Your email address has changed",
        "Your email address has changed",
        "<p>Your account now has the address {{ .Email }} instead of {{ .OldEmail }}.</p>",
        "<p>If it was not you, tell whoever runs {{ .SiteURL }}.</p>",
    ),
    occasion!(
        "phone_changed_notification",
        "Your phone number has changed",
        "Your phone number has changed",
        "<p>Your account {{ .Email }} now has the number {{ .Phone }} instead of {{ .OldPhone }}.</p>",
        "<p>If it was not you, tell whoever runs {{ .SiteURL }}.</p>",
    ),
    occasion!(
        "identity_linked_notification",
        "There is a new way to sign in to your account",
        "A new way to sign in",
        "<p>{{ .Provider }} can now be used to sign in to your account {{ .Email }}.</p>",
        "<p>If it was not you, remove it and change your password.</p>",
    ),
    occasion!(
        "identity_unlinked_notification",
        "A way to sign in to your account is gone",
        "A way to sign in is gone",
        "<p>{{ .Provider }} can no longer be used to sign in to your account {{ .Email }}.</p>",
        "<p>If it was not you, change your password.</p>",
    ),
    occasion!(
        "mfa_factor_enrolled_notification",
        "Your account has a new second factor",
        "A new second factor",
        "<p>Signing in to {{ .Email }} can now be confirmed by: {{ .FactorType }}.</p>",
        "<p>If it was not you, remove it and change your password.</p>",
    ),
    occasion!(
        "mfa_factor_unenrolled_notification",
        "A second factor of your account is gone",
        "A second factor is gone",
        "<p>Signing in to {{ .Email }} is no longer confirmed by: {{ .FactorType }}.</p>",
        "<p>If it was not you, change your password.</p>",
    ),
];

/// Everything that GoTrue puts into the data of some mail.
const FIELDS: [&str; 13] = [
    "ConfirmationURL",
    "Token",
    "TokenHash",
    "SiteURL",
    "RedirectTo",
    "Data",
    "Email",
    "NewEmail",
    "OldEmail",
    "SendingTo",
    "Phone",
    "OldPhone",
    "Provider",
];
/// As [`FIELDS`].
const FACTOR_FIELD: &str = "FactorType";

/// The longest subject; mail programs show fewer.
const SUBJECT_CHARS_MAX: usize = 250;

/// What a project says instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// `subject`
    pub subject: Option<String>,
    /// `content`: the HTML itself.
    pub content: Option<String>,
    /// `content_path`: a file with it, from the project's folder.
    pub content_path: Option<PathBuf>,
}

/// A template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No mail has this name.
    #[error("auth.email.template.{0}: there is no such mail")]
    Unknown(String),
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It has a mistake.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The templates in force.
#[derive(Debug)]
pub struct Library {
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Debug)]
struct Entry {
    subject: Template,
    file: Option<PathBuf>,
    /// A short lock: a file is read inside of it, hardly ever.
    body: Mutex<Body>,
}

#[derive(Debug)]
struct Body {
    html: Arc<Template>,
    /// Of the file when it was last read, wrong or not.
    seen: Option<Stamp>,
}

/// What changes when a file does.
type Stamp = (Option<SystemTime>, u64);

/// A filled in mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) html: String,
}

impl Library {
    /// Reads all templates. `folder` is what relative paths begin at.
    pub fn load(folder: &Path, custom: &BTreeMap<String, Custom>) -> Result<Self, LibraryError> {
        let known = |name: &str| TEMPLATES.iter().any(|occasion| occasion.name == name);
        if let Some(name) = custom.keys().find(|name| !known(name)) {
            return Err(LibraryError::Unknown(name.clone()));
        }
        let none = Custom::default();
        let mut entries = BTreeMap::new();
        for occasion in TEMPLATES {
            let custom = custom.get(occasion.name).unwrap_or(&none);
            entries.insert(occasion.name, Entry::load(folder, occasion, custom)?);
        }
        Ok(Self { entries })
    }

    /// Fields that a template names and no mail has: most likely misspelt, so
    /// worth a line at the start. GoTrue leaves them empty, and so do we.
    #[must_use]
    pub fn unknown_fields(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (name, entry) in &self.entries {
            let html = Arc::clone(&entry.lock().html);
            for field in html.fields().iter().chain(entry.subject.fields()) {
                if !FIELDS.contains(&field.as_str()) && field != FACTOR_FIELD {
                    found.push((*name, field.clone()));
                }
            }
        }
        found
    }

    pub(super) fn render(&self, name: &str, data: &Value) -> Option<Result<Rendered, String>> {
        let entry = self.entries.get(name)?;
        Some(entry.render(data))
    }
}

impl Entry {
    fn load(folder: &Path, occasion: &Occasion, custom: &Custom) -> Result<Self, LibraryError> {
        let subject = custom.subject.as_deref().unwrap_or(occasion.subject);
        let setting = format!("auth.email.template.{}.subject", occasion.name);
        let subject = Template::parse(&setting, subject, Format::Text)?;
        let file = custom.content_path.as_ref().map(|path| folder.join(path));
        let (html, seen) = match (&file, &custom.content) {
            (Some(file), _) => read(file)?,
            (None, Some(content)) => {
                let setting = format!("auth.email.template.{}.content", occasion.name);
                (Template::parse(&setting, content, Format::Html)?, None)
            }
            (None, None) => {
                let template = Template::parse(occasion.name, occasion.html, Format::Html)?;
                (template, None)
            }
        };
        let html = Arc::new(html);
        let body = Mutex::new(Body { html, seen });
        Ok(Self {
            subject,
            file,
            body,
        })
    }

    fn render(&self, data: &Value) -> Result<Rendered, String> {
        if let Some(file) = &self.file {
            self.look_again(file);
        }
        let html = Arc::clone(&self.lock().html);
        Ok(Rendered {
            subject: one_line(&self.subject.render(data)?),
            html: html.render(data)?,
        })
    }

    /// One question to the file system for each mail.
    fn look_again(&self, file: &Path) {
        let now = stamp(file).ok();
        let mut body = self.lock();
        if now.is_none() || body.seen == now {
            return;
        }
        match read(file) {
            Ok((html, seen)) => {
                tracing::info!(file = %file.display(), "mail template read again");
                body.html = Arc::new(html);
                body.seen = seen;
            }
            Err(error) => {
                // Once for each change, not for each mail.
                body.seen = now;
                tracing::warn!(%error, "a mail template stays as it was");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<(Template, Option<Stamp>), LibraryError> {
    let file_error = |source| LibraryError::File {
        path: path.to_owned(),
        source,
    };
    let stamp = stamp(path).map_err(file_error)?;
    if stamp.1 > TEMPLATE_BYTES_MAX as u64 {
        let message = format!("longer than {TEMPLATE_BYTES_MAX} bytes");
        return Err(file_error(std::io::Error::other(message)));
    }
    let text = std::fs::read_to_string(path).map_err(file_error)?;
    let name = path.display().to_string();
    Ok((Template::parse(&name, &text, Format::Html)?, Some(stamp)))
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let about = std::fs::metadata(path)?;
    Ok((about.modified().ok(), about.len()))
}

/// A header has one line; whatever a user put into their name cannot add more.
fn one_line(subject: &str) -> String {
    let words: Vec<&str> = subject
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(SUBJECT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn custom(subject: Option<&str>, path: Option<&str>) -> BTreeMap<String, Custom> {
        let custom = Custom {
            subject: subject.map(str::to_owned),
            content: None,
            content_path: path.map(PathBuf::from),
        };
        BTreeMap::from([("invite".to_owned(), custom)])
    }

    fn rendered(library: &Library, name: &str, data: &Value) -> Rendered {
        library
            .render(name, data)
            .expect("known")
            .expect("rendered")
    }

    #[test]
    fn ours_are_all_well_formed_and_name_known_fields() {
        let library = Library::load(Path::new("/"), &BTreeMap::new()).expect("ours");
        assert_eq!(library.unknown_fields(), []);
        for occasion in TEMPLATES {
            let url = "https://api.test/verify?a=b&c=d";
            let data = json!({
                "ConfirmationURL": url, "Token": "123456", "Email": "old@x.test",
                "NewEmail": "new@x.test", "OldEmail": "was@x.test", "SiteURL": "https://app.test",
                "Provider": "github", "Phone": "1", "OldPhone": "2", "FactorType": "totp",
            });
            let mail = rendered(&library, occasion.name, &data);
            assert!(!mail.subject.contains(['{', '\n']), "{}", mail.subject);
            if occasion.html.contains("ConfirmationURL") {
                assert!(
                    mail.html
                        .contains("href=\"https://api.test/verify?a=b&amp;c=d\"")
                );
            }
            assert!(!occasion.html.contains(".Token }}") || mail.html.contains("123456"));
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_wrong_one_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("invite.html");
        std::fs::write(&file, "<p>one {{ .Token }}</p>").expect("written");
        let data = json!({ "Token": "1" });
        let custom = custom(Some("Hi {{ .Token }}"), Some("invite.html"));
        let library = Library::load(folder.path(), &custom).expect("a template");
        let mail = rendered(&library, "invite", &data);
        assert_eq!((&*mail.subject, &*mail.html), ("Hi 1", "<p>one 1</p>"));
        std::fs::write(&file, "<p>second {{ .Token }}</p>").expect("written");
        assert_eq!(rendered(&library, "invite", &data).html, "<p>second 1</p>");
        std::fs::write(&file, "<p>wrong {{ .Token </p>").expect("written");
        assert_eq!(rendered(&library, "invite", &data).html, "<p>second 1</p>");
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(rendered(&library, "invite", &data).html, "<p>second 1</p>");
    }

    #[test]
    fn mistakes_are_told_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("invite.html");
        let missing = Library::load(folder.path(), &custom(None, Some("invite.html")));
        assert!(missing.is_err_and(|error| error.to_string().contains("invite.html")));
        std::fs::write(&file, "a\n{{ if }}").expect("written");
        let wrong = Library::load(folder.path(), &custom(None, Some("invite.html")));
        let message = wrong.expect_err("wrong").to_string();
        assert!(
            message.ends_with("invite.html:2: a value is missing"),
            "{message}"
        );
        let wrong = Library::load(folder.path(), &custom(Some("{{ x }}"), None));
        assert!(wrong.is_err());
        let other = BTreeMap::from([("invitation".to_owned(), Custom::default())]);
        assert!(Library::load(folder.path(), &other).is_err());
    }

    #[test]
    fn a_subject_is_one_line_whatever_the_user_is_called() {
        let custom = custom(Some("Hi {{ .Data.name }}"), None);
        let library = Library::load(Path::new("/"), &custom).expect("a template");
        let name = "x\r\nBcc: all@example.com\r\n\r\n<script>\u{0}\u{2028}é";
        let mail = rendered(&library, "invite", &json!({ "Data": { "name": name } }));
        assert_eq!(mail.subject, "Hi x Bcc: all@example.com <script> é");
        let mail = rendered(
            &library,
            "invite",
            &json!({ "Data": { "name": "y".repeat(9999) } }),
        );
        assert_eq!(mail.subject.chars().count(), SUBJECT_CHARS_MAX);
    }
}
