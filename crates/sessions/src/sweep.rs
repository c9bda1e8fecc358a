//! The duty that removes bytes which no file of any session has any more.

use std::sync::Arc;
use std::time::Duration;

use pg::{Error, Pool, RequestTx, SqlBuf};
use tokio_util::sync::CancellationToken;

/// Between two looks. What waits for removal costs disk, nothing else.
const EVERY: Duration = Duration::from_secs(600);
/// Rows of one look's transaction: it must not hold the database up.
const AT_ONCE: &str = "500";
/// What was written lately may be about to be used: a batch that names its
/// files by their hash comes right after the upload.
const AGE: &str = "1 hour";

/// Removes what is unused, a bounded number. Returns how many rows that was.
pub async fn sweep_once(pool: &Pool, role: &Arc<str>) -> Result<u64, Error> {
    let mut request = RequestTx::new(role, "{}", &[]);
    let sql = SqlBuf::fixed("SELECT work_engine.sweep_files($1::integer, $2::interval)");
    request.push(sql.bind(AT_ONCE.to_owned()).bind(AGE.to_owned()));
    let rows = request.run(pool).await?;
    let removed = rows.first().and_then(|rows| rows.scalar());
    Ok(removed.and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// Every now and then, until told to stop.
pub(crate) async fn keep_swept(pool: Pool, role: Arc<str>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        match sweep_once(&pool, &role).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "Unused files of sessions removed"),
            Err(error) => tracing::warn!(%error, "Unused files of sessions not removed"),
        }
    }
}
