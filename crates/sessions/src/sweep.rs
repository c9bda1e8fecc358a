//! The duty that removes what nobody has any more: sessions that were deleted
//! long ago, then bytes which no file of any session has.

use std::sync::Arc;
use std::time::Duration;

use pg::{Error, Pool, RequestTx, SqlBuf};
use tokio_util::sync::CancellationToken;

/// Between two looks. What waits for removal costs disk, nothing else.
const EVERY: Duration = Duration::from_secs(600);
/// Rows of one transaction: it must not hold the database up.
const AT_ONCE: u64 = 500;
/// Sessions of one transaction; each may have thousands of rows.
const SESSIONS_AT_ONCE: u64 = 10;
/// Transactions of each kind in one look; the rest has time until the next.
const ROUNDS_MAX: usize = 100;
/// What was written lately may be about to be used: a batch that names its
/// files by their hash comes right after the upload.
const AGE: &str = "1 hour";

/// Removes what is unused, a bounded number. Returns how many rows that was.
pub async fn sweep_once(pool: &Pool, role: &Arc<str>) -> Result<u64, Error> {
    let sql = SqlBuf::fixed("SELECT work_engine.sweep_files($1::integer, $2::interval)");
    remove(pool, role, sql, AT_ONCE, AGE.to_owned()).await
}

/// Removes sessions that were deleted longer ago than `kept`, a bounded number.
/// Returns how many. Their bytes are for [`sweep_once`].
pub async fn purge_once(pool: &Pool, role: &Arc<str>, kept: Duration) -> Result<u64, Error> {
    let sql = SqlBuf::fixed("SELECT work_engine.purge_sessions($1::integer, $2::interval)");
    let age = format!("{} seconds", kept.as_secs());
    remove(pool, role, sql, SESSIONS_AT_ONCE, age).await
}

async fn remove(
    pool: &Pool,
    role: &Arc<str>,
    sql: SqlBuf,
    most: u64,
    age: String,
) -> Result<u64, Error> {
    let mut request = RequestTx::new(role, "{}", &[]);
    request.push(sql.bind(most.to_string()).bind(age));
    let rows = request.run(pool).await?;
    let removed = rows.first().and_then(|rows| rows.scalar());
    Ok(removed.and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// One look: sessions first, whose files' bytes may then be nobody's.
async fn look(pool: &Pool, role: &Arc<str>, kept: Duration) -> Result<(u64, u64), Error> {
    let (mut sessions, mut rows) = (0, 0);
    for _ in 0..ROUNDS_MAX {
        let purged = purge_once(pool, role, kept).await?;
        sessions += purged;
        if purged < SESSIONS_AT_ONCE {
            break;
        }
    }
    for _ in 0..ROUNDS_MAX {
        let swept = sweep_once(pool, role).await?;
        rows += swept;
        if swept < AT_ONCE {
            break;
        }
    }
    Ok((sessions, rows))
}

/// Every now and then, until told to stop.
pub(crate) async fn keep_swept(
    pool: Pool,
    role: Arc<str>,
    kept: Duration,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let looked = tokio::select! {
            looked = look(&pool, &role, kept) => looked,
            () = stop.cancelled() => return,
        };
        match looked {
            Ok((0, 0)) => {}
            Ok((sessions, rows)) => {
                tracing::debug!(sessions, rows, "Deleted sessions and unused files removed");
            }
            Err(error) => tracing::warn!(%error, "Unused files of sessions not removed"),
        }
    }
}
