//! How old the newest backup is, and the last one that was restored on trial.

use server::app::Context;
use server::backup::{Repository, Summary};

use super::{Finding, Grade, finding, fine};
use crate::project::Workspace;

const WHAT: &str = "backups";
/// A backup a day, and one that failed.
const HOURS_WARN: i64 = 50;
/// A restore on trial a week, and one that failed.
const VERIFIED_HOURS_WARN: i64 = 15 * 24;

/// Nothing to say where nobody has made a backup and none is expected.
pub(super) fn look(workspace: &Workspace, context: &Context) -> Option<Finding> {
    let config = &workspace.loaded.config.backup;
    let all = match Repository::at(&config.folder).list() {
        Ok(all) => all,
        Err(error) => {
            return Some(finding(
                Grade::Warn,
                WHAT,
                error.to_string(),
                error.next_step(),
            ));
        }
    };
    let now = context.clock.now().as_second();
    let hours = |second: i64| (now - second).max(0) / 3600;
    let age = |time: fn(&Summary) -> Option<i64>| all.iter().filter_map(time).max().map(hours);
    let made = age(|one| Some(one.taken_at()?.as_second()));
    let verified = age(|one| Some(one.verified()?.as_second()));
    let Some(made) = made else {
        return config.schedule.then(|| {
            let next = "`ferrobase backup create` makes one.";
            finding(Grade::Warn, WHAT, "none yet", next)
        });
    };
    let shown = match verified {
        Some(verified) => format!("newest {made} h old, last restored on trial {verified} h ago"),
        None => format!("newest {made} h old, never restored on trial"),
    };
    if made > HOURS_WARN {
        let next = "`ferrobase backup create` makes one; the server's log tells why it did not.";
        return Some(finding(Grade::Warn, WHAT, shown, next));
    }
    if verified.is_none_or(|hours| hours > VERIFIED_HOURS_WARN) {
        let next = "`ferrobase backup verify` restores the newest on trial.";
        return Some(finding(Grade::Warn, WHAT, shown, next));
    }
    Some(fine(WHAT, shown))
}
