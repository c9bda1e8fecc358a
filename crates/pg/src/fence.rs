//! What keeps files in place while a backup copies them.
//!
//! A backup reads which files the rows name, in a snapshot, and copies the
//! files afterwards. Files never change, but rows of that snapshot may be
//! deleted meanwhile, and their files with them. So whoever removes files that
//! a committed row has named asks [`MAY_REMOVE`] in the transaction in which
//! it removes them, and leaves them for later when the answer is `f`. The
//! backup has [`HOLD`] before its snapshot begins and until the last file is
//! copied; the lock goes with its connection, so a killed backup holds nothing.

/// Takes the fence for as long as the session lives; waits for removals that
/// have begun. Ask before the snapshot: what is removed after it began and
/// before the fence was held would be missing.
pub const HOLD: &str = "SELECT pg_catalog.pg_advisory_lock(4995148153201070436)";

/// Whether files may be removed in this transaction. Never waits: a fence that
/// is held, or that a backup waits for, answers `f`.
pub const MAY_REMOVE: &str =
    "SELECT pg_catalog.pg_try_advisory_xact_lock_shared(4995148153201070436)";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn removers_do_not_hinder_each_other_and_yield_to_a_backup() {
        let db = TestDb::empty().await;
        let (mut one, mut two) = (db.session().await, db.session().await);
        let mut backup = db.session().await;
        for remover in [&mut one, &mut two] {
            remover.script("BEGIN").await.unwrap();
            let may = remover.query(MAY_REMOVE, &[]).await.unwrap();
            assert_eq!(may.scalar(), Some("t"));
            remover.script("COMMIT").await.unwrap();
        }
        backup.query(HOLD, &[]).await.unwrap();
        let may = one.query(MAY_REMOVE, &[]).await.unwrap();
        assert_eq!(may.scalar(), Some("f"));
        backup.close().await;
        // The server notices in its own time that the session has ended.
        let mut again = two.query(MAY_REMOVE, &[]).await.unwrap();
        while again.scalar() == Some("f") {
            tokio::task::yield_now().await;
            again = two.query(MAY_REMOVE, &[]).await.unwrap();
        }
    }
}
