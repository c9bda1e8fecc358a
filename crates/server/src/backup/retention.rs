//! Which backups stay: the newest of each of the last days that have one, the
//! newest of each of the last weeks that have one, the newest of all, and the
//! newest that was verified.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Id, Summary};

/// How many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Days with a backup.
    pub daily: usize,
    /// Weeks with a backup.
    pub weekly: usize,
}

/// What is asked about one backup.
#[derive(Clone, Debug)]
struct Candidate {
    id: Id,
    taken_at: Option<Timestamp>,
    verified: bool,
}

/// The backups that may go, of all there are.
#[must_use]
pub fn superfluous(all: &[Summary], keep: Keep) -> Vec<Id> {
    let candidates = all.iter().map(|one| Candidate {
        id: one.id.clone(),
        taken_at: one.taken_at(),
        verified: one.verified_at.is_some(),
    });
    choose(candidates.collect(), keep)
}

/// The same of copies, of which only the name and whether they were verified
/// is known; a name begins with its time.
#[must_use]
pub(super) fn superfluous_copies(all: Vec<(Id, bool)>, keep: Keep) -> Vec<Id> {
    let candidates = all.into_iter().map(|(id, verified)| Candidate {
        taken_at: id.time(),
        id,
        verified,
    });
    choose(candidates.collect(), keep)
}

fn choose(mut all: Vec<Candidate>, keep: Keep) -> Vec<Id> {
    all.sort_by(|a, b| b.id.cmp(&a.id));
    let newest_verified = all.iter().position(|one| one.verified);
    let mut days = Periods::new(keep.daily);
    let mut weeks = Periods::new(keep.weekly);
    let mut gone = Vec::new();
    for (place, one) in all.iter().enumerate() {
        // Whose time cannot be read is somebody's to look at.
        let Some(taken_at) = one.taken_at else {
            continue;
        };
        let day = taken_at.to_zoned(TimeZone::UTC).date();
        // Both are asked, so that each counts its periods.
        let (of_day, of_week) = (days.first_of(day), weeks.first_of(monday(day)));
        if !of_day && !of_week && place != 0 && Some(place) != newest_verified {
            gone.push(one.id.clone());
        }
    }
    gone
}

/// The last periods seen, newest first.
struct Periods {
    left: usize,
    last: Option<Date>,
}

impl Periods {
    fn new(left: usize) -> Self {
        Self { left, last: None }
    }

    /// Whether this is the newest of one of the periods that count.
    fn first_of(&mut self, period: Date) -> bool {
        if self.left == 0 || self.last == Some(period) {
            return false;
        }
        self.last = Some(period);
        self.left -= 1;
        true
    }
}

fn monday(day: Date) -> Date {
    let back = i64::from(day.weekday().to_monday_zero_offset());
    day.checked_sub(jiff::Span::new().days(back)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn candidate(day: u32, hour: u32, verified: bool) -> Candidate {
        Candidate {
            id: Id::parse(&format!("202606{day:02}T{hour:02}0000Z-abcdef")).unwrap(),
            taken_at: format!("2026-06-{day:02}T{hour:02}:00:00Z").parse().ok(),
            verified,
        }
    }

    fn stay(all: &[Candidate], daily: usize, weekly: usize) -> Vec<String> {
        let gone = choose(all.to_vec(), Keep { daily, weekly });
        let kept = all.iter().filter(|one| !gone.contains(&one.id));
        kept.map(|one| one.id.as_str()[6..11].to_owned()).collect()
    }

    #[test]
    fn days_weeks_the_newest_and_the_verified_stay() {
        // June 1st 2026 was a Monday.
        let mut all: Vec<_> = (1..=21).map(|day| candidate(day, 3, day == 5)).collect();
        all.push(candidate(21, 9, false));
        assert_eq!(stay(&all, 3, 0), ["05T03", "19T03", "20T03", "21T09"]);
        assert_eq!(
            stay(&all, 1, 3),
            ["05T03", "07T03", "14T03", "21T09"],
            "the last of each week"
        );
        assert_eq!(stay(&all, 0, 0), ["05T03", "21T09"]);
        let mut unreadable = candidate(2, 1, false);
        unreadable.taken_at = None;
        assert_eq!(stay(&[unreadable, candidate(3, 1, false)], 0, 0).len(), 2);
    }
}
