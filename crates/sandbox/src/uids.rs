//! One host uid per sandbox, when the server is root. Uid 0 inside of a
//! sandbox would be root of the host to everything that has no namespace.

use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;

use crate::SandboxError;
use crate::control::lock;

/// Who has which; a workspace keeps its user for as long as it exists.
#[derive(Debug)]
pub(crate) struct Uids {
    range: Range<u32>,
    taken: Mutex<HashMap<String, u32>>,
}

impl Uids {
    /// Begins with the owners of the workspaces that are there.
    pub(crate) fn of(range: &Range<u32>, folder: &Path) -> Result<Self, SandboxError> {
        if range.contains(&0) || range.is_empty() {
            return Err(SandboxError::invalid(
                "uids of sandboxes: a range without 0 is needed",
            ));
        }
        let mut taken = HashMap::new();
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let owner = entry
                .path()
                .join("home")
                .symlink_metadata()
                .map(|about| about.uid());
            if let (Ok(owner), Ok(name)) = (owner, entry.file_name().into_string())
                && range.contains(&owner)
            {
                taken.insert(name, owner);
            }
        }
        Ok(Self {
            range: range.clone(),
            taken: Mutex::new(taken),
        })
    }

    /// This sandbox's, now and later.
    pub(crate) fn of_sandbox(&self, id: &str) -> Result<u32, SandboxError> {
        let mut taken = lock(&self.taken);
        if let Some(uid) = taken.get(id) {
            return Ok(*uid);
        }
        let used: std::collections::HashSet<u32> = taken.values().copied().collect();
        let count = self.range.len();
        // Two servers on one machine begin at different places.
        let words = id.bytes().chain(std::process::id().to_le_bytes());
        let begin = words.fold(2_166_136_261_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
        });
        let begin = usize::try_from(begin).unwrap_or(0) % count;
        let mut all = self.range.clone().cycle().skip(begin).take(count);
        let uid = all
            .find(|uid| !used.contains(uid))
            .ok_or(SandboxError::TooMuch {
                what: "workspaces (one user each)",
                most: count as u64,
            })?;
        taken.insert(id.to_owned(), uid);
        Ok(uid)
    }

    /// Its workspace is gone.
    pub(crate) fn free(&self, id: &str) {
        lock(&self.taken).remove(id);
    }
}
