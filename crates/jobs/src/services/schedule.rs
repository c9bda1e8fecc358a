//! Schedules fire.
//!
//! A node asks which schedules are due, computes from each one's cron pattern
//! what that means, and tells the database, which lets the first node through
//! that still finds the time it computed from. So any number of nodes may run
//! this, and each time fires once.

use std::sync::Arc;

use jiff::Timestamp;
use pg::{Error, Pool, RequestTx, Row, Rows, SqlBuf};
use uuid::Uuid;

use crate::schedule::{CronError, Missed, Timetable, Turn};

/// Schedules of one look: more are due only after an outage, and wait a second.
const DUE_MAX: &str = "100";

/// One schedule that is due or new.
struct Due {
    id: Uuid,
    cron: String,
    time_zone: String,
    missed: Missed,
    /// As the database wrote it, to be compared by the database.
    seen: Option<String>,
    planned: Option<Timestamp>,
    now: Timestamp,
}

/// Fires everything that is due; returns how many jobs were submitted.
pub async fn run_once(pool: &Pool, role: &Arc<str>) -> Result<usize, Error> {
    let rows = query(pool, role, SqlBuf::fixed(DUE).bind(DUE_MAX.to_owned())).await?;
    let mut submitted = 0;
    for due in rows.iter().filter_map(read) {
        let (turn, problem) = match compute(&due) {
            Ok(turn) => (turn, None),
            Err(error) => (Turn::default(), Some(error.to_string())),
        };
        // One transaction each: what a schedule cancels is locked no longer
        // than its own turn takes.
        match query(pool, role, fire(&due, &turn, problem)).await {
            Ok(rows) => submitted += rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0),
            Err(error) => {
                // The others shall not wait for one that cannot be fired.
                tracing::warn!(schedule.id = %due.id, %error, "A schedule could not fire");
            }
        }
    }
    Ok(submitted)
}

/// $1: how many.
const DUE: &str = include_str!("../sql/due_schedules.sql");
/// $1 id, $2 the time seen, $3 fires, $4 missed, $5 next, $6 problem.
const FIRE: &str = include_str!("../sql/fire_schedule.sql");

async fn query(pool: &Pool, role: &Arc<str>, statement: SqlBuf) -> Result<Rows, Error> {
    let mut tx = RequestTx::new(role, "{}", &[]);
    tx.keeps_settings().push(statement);
    let mut rows = tx.run(pool).await?;
    Ok(rows.pop().unwrap_or_default())
}

fn compute(due: &Due) -> Result<Turn, CronError> {
    let table = Timetable::parse(&due.cron, &due.time_zone)?;
    let turn = table.turn(due.planned, due.now, due.missed);
    if turn.next.is_none() && turn.fires.is_empty() {
        return Err(CronError::Never(due.cron.clone()));
    }
    // Without a next time it fires what was due, and says at the next look
    // that there is nothing more.
    Ok(turn)
}

fn fire(due: &Due, turn: &Turn, problem: Option<String>) -> SqlBuf {
    SqlBuf::fixed(FIRE)
        .bind(due.id.to_string())
        .bind(due.seen.clone())
        .bind(array(&turn.fires))
        .bind(array(&turn.missed))
        .bind(turn.next.map(|next| next.to_string()))
        .bind(problem)
}

/// An array as Postgres reads it; a time in it needs no quotes.
fn array(times: &[Timestamp]) -> String {
    let times: Vec<_> = times.iter().map(Timestamp::to_string).collect();
    format!("{{{}}}", times.join(","))
}

fn read(row: Row<'_>) -> Option<Due> {
    let micros = |index| row.get(index).and_then(|n| n.parse::<i64>().ok());
    Some(Due {
        id: row.get(0)?.parse().ok()?,
        cron: row.get(1)?.to_owned(),
        time_zone: row.get(2)?.to_owned(),
        missed: Missed::parse(row.get(3)?),
        seen: row.get(4).map(str::to_owned),
        planned: micros(5).and_then(|n| Timestamp::from_microsecond(n).ok()),
        now: Timestamp::from_microsecond(micros(6)?).ok()?,
    })
}
