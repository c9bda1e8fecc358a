//! Everything held against everything: `ferrobase storage fsck`.

use futures_util::TryStreamExt as _;

use super::books::{Books, Entry, KeepingError};
use super::sweep::Sweeper;
use crate::blobs::{BlobError, BlobId, Blobs};
use kernel::Clock;

/// Rows or names of one page.
const PAGE: usize = 1000;

/// Before every id.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";

/// What is looked at and what is done about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fsck {
    /// Every byte is read and held against its sum.
    pub verify: bool,
    /// Bytes that no row names go.
    pub repair: bool,
    /// Rows whose bytes are lost go, too.
    pub forget: bool,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A row names bytes that are not there.
    Missing {
        /// The row's bucket.
        bucket: String,
        /// And its name.
        name: String,
        /// What it names.
        version: String,
    },
    /// A row's bytes are more or fewer than it says.
    Size {
        /// The row's bucket.
        bucket: String,
        /// And its name.
        name: String,
        /// What it says.
        row: u64,
        /// What is there.
        bytes: u64,
    },
    /// A row's bytes are not those that were written.
    Corrupt {
        /// The row's bucket.
        bucket: String,
        /// And its name.
        name: String,
        /// What it names.
        version: String,
    },
    /// Bytes that no row names.
    Orphan {
        /// Their name.
        id: BlobId,
        /// How many they are.
        size: u64,
    },
    /// An unfinished upload that no row knows.
    Unfinished {
        /// Its name.
        id: BlobId,
    },
}

/// What was looked at, found, and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of objects.
    pub rows: u64,
    /// Finished names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were read and held against their sums.
    pub verified: u64,
    /// Files without sums: of them only the size was looked at.
    pub unverified: u64,
    /// Names that are too young to say anything about.
    pub young: u64,
    /// Bytes of deleted objects that wait for removal.
    pub waiting: u64,
    /// Problems found.
    pub problems: u64,
    /// Of these, those that are none any more.
    pub repaired: u64,
}

impl Report {
    /// Whether everything is as it should be now.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems == self.repaired
    }
}

impl Fsck {
    /// Looks at everything, and tells of each problem as it is found.
    pub async fn run(
        self,
        books: &Books,
        blobs: &Blobs,
        clock: &Clock,
        mut tell: impl FnMut(Problem) + Send,
    ) -> Result<Report, KeepingError> {
        let (owner, _) = books.swept().await?;
        if !blobs.belong_to(owner).await? {
            return Err(KeepingError::Foreign);
        }
        let sweeper = Sweeper::new(books.clone(), blobs.clone(), clock.clone());
        if self.repair {
            sweeper.bury().await?;
        }
        let mut report = Report {
            waiting: books.tombstones().await?,
            ..Report::default()
        };
        self.rows(books, blobs, &mut report, &mut tell).await?;
        let settled = sweeper.settled();
        self.files(books, blobs, settled, &mut report, &mut tell)
            .await?;
        self.unfinished(books, blobs, settled, &mut report, &mut tell)
            .await?;
        Ok(report)
    }

    async fn rows(
        self,
        books: &Books,
        blobs: &Blobs,
        report: &mut Report,
        tell: &mut (impl FnMut(Problem) + Send),
    ) -> Result<(), KeepingError> {
        let mut after = FIRST.to_owned();
        loop {
            let page = books.entries(&after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(&last.id);
            for entry in &page {
                report.rows += 1;
                let problem = self.row(blobs, entry, report).await?;
                // It may have been deleted or overwritten while we looked.
                let Some(problem) = problem.filter(|_| entry.version.is_some()) else {
                    continue;
                };
                if !books.still(entry).await? {
                    continue;
                }
                report.problems += 1;
                let lost = matches!(problem, Problem::Missing { .. });
                tell(problem);
                if lost && self.forget {
                    books.forget(entry).await?;
                    report.repaired += 1;
                }
            }
        }
    }

    async fn row(
        self,
        blobs: &Blobs,
        entry: &Entry,
        report: &mut Report,
    ) -> Result<Option<Problem>, KeepingError> {
        let (bucket, name) = (entry.bucket.clone(), entry.name.clone());
        let version = entry.version.clone().unwrap_or_default();
        let size = match version.parse::<BlobId>() {
            Ok(id) => blobs.size(id).await.map(|size| (id, size)),
            Err(_) => Err(BlobError::NotFound),
        };
        let (id, bytes) = match size {
            Ok(found) => found,
            Err(BlobError::NotFound) => {
                let missing = Problem::Missing {
                    bucket,
                    name,
                    version,
                };
                return Ok(Some(missing));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(row) = entry.size.filter(|row| *row != bytes) {
            return Ok(Some(Problem::Size {
                bucket,
                name,
                row,
                bytes,
            }));
        }
        if !self.verify {
            return Ok(None);
        }
        let Some(sums) = &entry.sums else {
            report.unverified += 1;
            return Ok(None);
        };
        report.verified += 1;
        match blobs.verify(id, sums).await {
            Ok(()) => Ok(None),
            Err(BlobError::Corrupt) => Ok(Some(Problem::Corrupt {
                bucket,
                name,
                version,
            })),
            // Gone between the two looks; whether its row has, too, is asked.
            Err(BlobError::NotFound) => Ok(Some(Problem::Missing {
                bucket,
                name,
                version,
            })),
            Err(error) => Err(error.into()),
        }
    }

    async fn files(
        self,
        books: &Books,
        blobs: &Blobs,
        settled: BlobId,
        report: &mut Report,
        tell: &mut (impl FnMut(Problem) + Send),
    ) -> Result<(), KeepingError> {
        let mut names = blobs.list(None).try_chunks(PAGE);
        while let Some(page) = names.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<BlobId> = page.iter().map(|(id, _)| *id).collect();
            let named = books.named(&ids).await?;
            let waiting = books.waiting(&ids).await?;
            let (mut gone, mut found) = (Vec::new(), 0);
            for (id, size) in page {
                report.files += 1;
                report.bytes += size;
                if named.contains(&id) || waiting.contains(&id) {
                    continue;
                }
                if id >= settled {
                    report.young += 1;
                    continue;
                }
                gone.push(id);
                found += 1;
                tell(Problem::Orphan { id, size });
            }
            report.problems += found;
            if self.repair && remove(books, blobs, &gone).await? {
                report.repaired += found;
            }
        }
        Ok(())
    }

    async fn unfinished(
        self,
        books: &Books,
        blobs: &Blobs,
        settled: BlobId,
        report: &mut Report,
        tell: &mut (impl FnMut(Problem) + Send),
    ) -> Result<(), KeepingError> {
        let begun = blobs.unfinished().await?;
        for page in begun.chunks(PAGE) {
            let named = books.named(page).await?;
            for id in page.iter().filter(|id| !named.contains(id)) {
                if *id >= settled {
                    report.young += 1;
                    continue;
                }
                report.problems += 1;
                tell(Problem::Unfinished { id: *id });
                if self.repair {
                    blobs.discard(*id).await?;
                    report.repaired += 1;
                }
            }
        }
        Ok(())
    }
}

/// Removes what no row names; not while a backup copies files.
async fn remove(books: &Books, blobs: &Blobs, ids: &[BlobId]) -> Result<bool, KeepingError> {
    let Some(leave) = books.leave(false).await? else {
        return Ok(false);
    };
    let named = leave.named(ids).await?;
    let gone: Vec<BlobId> = ids
        .iter()
        .copied()
        .filter(|id| !named.contains(id))
        .collect();
    blobs.remove(&gone).await?;
    let versions: Vec<String> = gone.iter().map(ToString::to_string).collect();
    leave.settle(&versions, &gone).await?;
    leave.end().await?;
    Ok(true)
}
