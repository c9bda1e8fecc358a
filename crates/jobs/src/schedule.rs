//! When a schedule fires: cron in a time zone, and what of the times that
//! passed while nothing ran. Pure; [`crate::services::schedule`] acts on it.
//!
//! Where clocks go forward, a set time that is skipped comes at the first
//! moment after the gap, once. Where they go back, a set time comes once, the
//! first time; a pattern that repeats (`*` or a step in hours or minutes)
//! goes on through the repeated hour.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Of what was missed: no more than this is made up for or told of, so that a
/// node that comes back after a month does not submit 43,200 jobs.
pub const FIRES_MAX: usize = 100;

/// What is later than this was missed; what is not was fired by a node that
/// looked a little late. Nodes look every second.
pub const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// Longer than any pattern that means something.
const CRON_BYTES_MAX: usize = 200;

/// Why a schedule cannot fire.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CronError {
    /// The pattern is none.
    #[error("\"{cron}\" is no cron pattern: {problem}")]
    Pattern {
        /// As it was written.
        cron: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The zone is unknown here.
    #[error("there is no time zone \"{0}\"")]
    TimeZone(String),
    /// It has no time any more, such as 30 February.
    #[error("\"{0}\" never comes")]
    Never(String),
}

/// What happens to times that passed while nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// They are gone.
    None,
    /// The last one fires.
    Last,
    /// All fire, at most [`FIRES_MAX`].
    All,
}

impl Missed {
    /// As it stands in `work.schedules`; what is unknown fires the last one.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "all" => Self::All,
            _ => Self::Last,
        }
    }
}

/// A cron pattern in its time zone.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    text: String,
    zone: TimeZone,
}

/// What a schedule does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Times to submit a job for, earliest first.
    pub fires: Vec<Timestamp>,
    /// Times that only are noted.
    pub missed: Vec<Timestamp>,
    /// When it is next; none for a pattern that has come to its end.
    pub next: Option<Timestamp>,
}

impl Timetable {
    /// Reads five fields, or six with seconds first, or a nickname such as
    /// `@daily`; and an IANA name of a zone.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, CronError> {
        let wrong = |problem: String| CronError::Pattern {
            cron: cron.chars().take(CRON_BYTES_MAX).collect(),
            problem,
        };
        if cron.len() > CRON_BYTES_MAX {
            return Err(wrong(format!("more than {CRON_BYTES_MAX} bytes")));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(cron).map_err(|e| wrong(e.to_string()))?;
        // The zone of this machine would be another one on another node.
        let zone = match TimeZone::get(time_zone) {
            Ok(zone) if zone.iana_name().is_some() => zone,
            _ => return Err(CronError::TimeZone(time_zone.to_owned())),
        };
        Ok(Self {
            cron: parsed,
            text: cron.to_owned(),
            zone,
        })
    }

    /// The first time after `moment`.
    pub fn next(&self, moment: Timestamp) -> Result<Timestamp, CronError> {
        let start = moment.to_zoned(self.zone.clone());
        match self.cron.find_next_occurrence(&start, false) {
            Ok(next) => Ok(next.timestamp()),
            Err(_) => Err(CronError::Never(self.text.clone())),
        }
    }

    /// What a schedule does that was to fire at `due` and is looked at `now`.
    /// Without `due` it is new, and only finds out when it is next.
    #[must_use]
    pub fn turn(&self, due: Option<Timestamp>, now: Timestamp, missed: Missed) -> Turn {
        let next = self.next(now).ok();
        let Some(due) = due.filter(|due| *due <= now) else {
            return Turn {
                next,
                ..Turn::default()
            };
        };
        let mut times = self.between(due, now);
        let late = |time: &Timestamp| now.duration_since(*time) > ON_TIME;
        let keep = match missed {
            Missed::All => times.len(),
            Missed::Last => 1,
            Missed::None => times.iter().filter(|time| !late(time)).count(),
        };
        let fires = times.split_off(times.len().saturating_sub(keep));
        Turn {
            fires,
            missed: times,
            next,
        }
    }

    /// The last [`FIRES_MAX`] times from `due` to `now`, both included.
    fn between(&self, due: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let mut times = vec![due];
        let mut last = due;
        while let Ok(time) = self.next(last) {
            if time > now {
                return times;
            }
            if times.len() == FIRES_MAX {
                return self.before(now, due);
            }
            times.push(time);
            last = time;
        }
        times
    }

    /// As [`Self::between`], from the end: for a gap of months.
    fn before(&self, now: Timestamp, due: Timestamp) -> Vec<Timestamp> {
        let mut times = Vec::with_capacity(FIRES_MAX);
        let mut at: Zoned = now.to_zoned(self.zone.clone());
        let mut inclusive = true;
        while times.len() < FIRES_MAX {
            match self.cron.find_previous_occurrence(&at, inclusive) {
                Ok(time) if time.timestamp() >= due => {
                    times.push(time.timestamp());
                    at = time;
                    inclusive = false;
                }
                _ => break,
            }
        }
        times.reverse();
        times
    }
}

#[cfg(test)]
mod tests;
