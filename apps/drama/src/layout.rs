//! Where assets are in the bucket: the original's tree, so that what read it
//! there reads it here.
//!
//! `{user}/{project}/{images|videos|texts}/{id}.{ext}`, and beside it
//! `{id}.json` with what is known of it. Pure.

use uuid::Uuid;

/// Where all of it is.
pub const BUCKET: &str = "drama-assets";

/// A name's ending at most; a longer one is none.
const ENDING_MAX: usize = 10;
/// A project's folder at most, as its column.
const FOLDER_MAX: usize = 200;

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture.
    Image,
    /// A clip.
    Video,
    /// A text.
    Text,
}

impl Kind {
    /// By the clients' word for it.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "image" => Some(Self::Image),
            "video" => Some(Self::Video),
            "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// The clients' word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Text => "text",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Video => "videos",
            Self::Text => "texts",
        }
    }

    /// For names that have none.
    fn ending(self) -> &'static str {
        match self {
            Self::Image => "png",
            Self::Video => "mp4",
            Self::Text => "txt",
        }
    }
}

/// What an asset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Somebody in the drama.
    Character,
    /// A scene, drawn.
    Storyboard,
    /// A scene, filmed.
    Clip,
}

impl Tag {
    /// By the clients' word for it.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "character" => Some(Self::Character),
            "storyboard" => Some(Self::Storyboard),
            "clip" => Some(Self::Clip),
            _ => None,
        }
    }

    /// The clients' word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Character => "character",
            Self::Storyboard => "storyboard",
            Self::Clip => "clip",
        }
    }
}

/// A project as its folder is named: in lower case, and `_` for whatever is
/// neither letter, digit, `_` nor `-`. Empty only for an empty name.
pub(crate) fn folder(project: &str) -> String {
    let safe = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
        _ => '_',
    };
    project.chars().take(FOLDER_MAX).map(safe).collect()
}

/// Where an asset's bytes are.
pub(crate) fn bytes(user: Uuid, project: &str, kind: Kind, (id, filename): (Uuid, &str)) -> String {
    let ending = filename.rsplit_once('.').map(|(_, ending)| ending);
    let ending = ending
        .filter(|ending| !ending.is_empty() && ending.len() <= ENDING_MAX)
        .filter(|ending| ending.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        // `{id}.json` is the document beside it.
        .filter(|ending| !ending.eq_ignore_ascii_case("json"))
        .map_or_else(|| kind.ending().to_owned(), str::to_ascii_lowercase);
    let folder = folder(project);
    format!("{user}/{folder}/{}/{id}.{ending}", kind.folder())
}

/// The document beside an asset's bytes.
pub(crate) fn document(bytes: &str) -> String {
    let stem = bytes.rsplit_once('.').map_or(bytes, |(stem, _)| stem);
    [stem, ".json"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_lie_where_they_lay() {
        let (user, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let at = |project: &str, kind, name: &str| bytes(user, project, kind, (id, name));
        let lead = format!("{user}/my_show-1/");
        let path = at("My Show-1", Kind::Image, "Ann.PNG");
        assert_eq!(path, format!("{lead}images/{id}.png"));
        assert_eq!(document(&path), format!("{lead}images/{id}.json"));
        for (kind, name, end) in [
            (Kind::Video, "a.mov", "videos/%.mov"),
            (Kind::Video, "a", "videos/%.mp4"),
            (Kind::Text, "notes.", "texts/%.txt"),
            (Kind::Image, "a.b/../c", "images/%.png"),
            (Kind::Image, "a.%2f", "images/%.png"),
            (Kind::Image, "a.elevenchars", "images/%.png"),
            // Its document has that name.
            (Kind::Text, "a.json", "texts/%.txt"),
            (Kind::Text, "a.JSON", "texts/%.txt"),
        ] {
            let want = format!("{lead}{}", end.replace('%', &id.to_string()));
            assert_eq!(at("My Show-1", kind, name), want, "{name}");
        }
    }

    #[test]
    fn projects_stay_in_their_folder() {
        assert_eq!(folder("../Other/\u{202e}\u{130}K\u{212a}"), "___other___k_");
        assert_eq!(folder(".."), "__");
        assert_eq!(folder(""), "");
        assert_eq!(folder(&"\u{e9}".repeat(900)).len(), FOLDER_MAX);
    }
}
