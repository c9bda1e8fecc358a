//! What the app needs of Storage, and where its files are.

use std::future::Future;
use std::pin::Pin;

use kernel::Caller;

/// Where the app's files are.
pub(crate) const BUCKET: &str = "project-files";

/// A file's name in its folder at most; the rest of an object's name is short.
const NAME_CHARS_MAX: usize = 200;

/// An answer that is waited for.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, FileError>> + Send + 'a>>;

/// Why Storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The caller may not, or it cannot be.
    #[error("{message}")]
    Refused {
        /// HTTP's word for it.
        status: http::StatusCode,
        /// For people.
        message: String,
    },
    /// Storage failed; it has said so in the log.
    #[error("storage failed")]
    Failed,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
}

/// Storage, as the app sees it. Everything is asked as the caller.
pub trait Files: Send + Sync {
    /// An absolute address to which the bytes can be sent by PUT, with nothing
    /// else to prove. A file of that name is replaced.
    fn sign_upload<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        name: &'a str,
    ) -> Asked<'a, String>;

    /// The absolute address at which everybody reads it.
    fn public_url(&self, bucket: &str, name: &str) -> String;

    /// The file, if the caller sees one.
    fn stored<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        name: &'a str,
    ) -> Asked<'a, Option<Stored>>;

    /// Deletes every file of a folder; its name ends with a slash.
    fn delete_folder<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        folder: &'a str,
    ) -> Asked<'a, ()>;
}

/// `{project}/audio/{filename}` with a file name that stays there: what is no
/// safe character is `_`, and no name is a step upwards.
pub(crate) fn audio_path(project: &str, filename: &str) -> String {
    let safe = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-_.()".contains(c) => c,
        _ => '_',
    };
    let name: String = filename.chars().take(NAME_CHARS_MAX).map(safe).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "audio" } else { name };
    [project, "/audio/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let path = |name: &str| audio_path("p", name);
        assert_eq!(path("song.mp3"), "p/audio/song.mp3");
        assert_eq!(path("my song (1).mp3"), "p/audio/my_song_(1).mp3");
        assert_eq!(path("../../other/song.mp3"), "p/audio/_.._other_song.mp3");
        assert_eq!(path(".."), "p/audio/audio");
        assert_eq!(path(""), "p/audio/audio");
        assert_eq!(path("a%2fb\0ü\u{202e}"), "p/audio/a_2fb___");
        assert!(path(&"ü".repeat(9000)).len() < 300);
    }
}
