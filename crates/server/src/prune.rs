//! Removes answers of idempotency keys that have had their time, a little at a
//! time. Nothing depends on it but the size of a table: an old answer does not
//! count any more, whether it is still there or not.
//!
//! Start at [`run_once`]. Several nodes may do this at the same time.

use std::sync::Arc;
use std::time::Duration;

use pg::{Pool, RequestTx, SqlBuf};
use tokio_util::sync::CancellationToken;

/// Answers live for a day; some minutes more are no loss.
const EVERY: Duration = Duration::from_secs(600);

/// So many rows in one transaction: well under a second.
const BATCH: i64 = 1000;

/// Batches in one go, so that a great backlog does not keep a connection busy
/// for long. Five hundred keys a second are kept up with.
const BATCHES_MAX: usize = 300;

const PRUNE: &str = "SELECT ferrobase.idempotency_prune($1)";

/// Prunes from time to time, until told to stop or until it shows that there
/// is nothing of ours in this database.
pub(crate) async fn keep_pruned(pool: Pool, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        match run_once(&pool).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::debug!(removed, "Answers of {removed} idempotency keys removed");
            }
            // No such function or schema, or not for us: no keys are honoured
            // here, which whoever sends one is told.
            Err(error) if matches!(error.sqlstate(), Some("42883" | "3F000" | "42501")) => return,
            Err(error) => {
                tracing::warn!(%error, "Old idempotency keys not removed; next try later");
            }
        }
    }
}

/// Removes what has had its time, and says how much.
pub(crate) async fn run_once(pool: &Pool) -> Result<i64, pg::Error> {
    let role: Arc<str> = pool.target().user.as_str().into();
    let mut removed = 0;
    for _ in 0..BATCHES_MAX {
        let mut tx = RequestTx::new(&role, "{}", &[]);
        tx.push(SqlBuf::fixed(PRUNE).bind(BATCH.to_string()));
        let results = tx.run(pool).await?;
        let rows = results.first().and_then(pg::Rows::scalar);
        let batch: i64 = rows.and_then(|rows| rows.parse().ok()).unwrap_or(0);
        removed += batch;
        if batch < BATCH {
            break;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use kernel::Tasks;
    use pg::testing::TestDb;

    use super::*;

    #[tokio::test]
    async fn only_what_has_had_its_time_goes_whatever_the_number() {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        session
            .script(
                "INSERT INTO ferrobase.idempotency_keys (id, salt, answer, kept_at)
                 SELECT sha256(n::text::bytea), sha256(''), '', now() - interval '23 hours 55 minutes'
                     - CASE WHEN n > 7 THEN interval '10 minutes' ELSE interval '0' END
                 FROM generate_series(1, 2507) AS n",
            )
            .await
            .unwrap();
        let tasks = Tasks::new();
        let pool = db.pool(&tasks);
        assert_eq!(run_once(&pool).await.unwrap(), 2500);
        assert_eq!(run_once(&pool).await.unwrap(), 0);
        let left = "SELECT count(*) FROM ferrobase.idempotency_keys";
        let left = session.query(left, &[]).await.unwrap();
        assert_eq!(left.scalar(), Some("7"));
    }

    #[tokio::test]
    async fn it_ends_by_itself_where_there_is_nothing_of_ours() {
        let db = TestDb::empty().await;
        let tasks = Tasks::new();
        let error = run_once(&db.pool(&tasks)).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("3F000"));
    }
}
