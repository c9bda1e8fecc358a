//! Times that clocks skip and repeat, and times that passed unseen.

use proptest::prelude::*;

use super::*;

fn table(cron: &str, zone: &str) -> Timetable {
    Timetable::parse(cron, zone).expect("a pattern in a zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The next `n` times, as the wall clock there shows them.
fn walk(cron: &str, zone: &str, from: &str, n: usize) -> Vec<String> {
    let table = table(cron, zone);
    let mut moment = at(from);
    let mut seen = Vec::new();
    for _ in 0..n {
        moment = table.next(moment).expect("a next time");
        let there = moment.to_zoned(table.zone.clone());
        seen.push(there.strftime("%Y-%m-%d %H:%M:%S %z").to_string());
    }
    seen
}

#[test]
fn a_day_is_a_day_of_the_zone() {
    assert_eq!(
        walk("0 9 * * *", "America/New_York", "2026-03-06T00:00:00Z", 4),
        [
            "2026-03-06 09:00:00 -0500",
            "2026-03-07 09:00:00 -0500",
            "2026-03-08 09:00:00 -0400",
            "2026-03-09 09:00:00 -0400",
        ]
    );
}

#[test]
fn a_time_that_the_clock_skips_comes_once_after_the_gap() {
    // 2026-03-29 02:00 is 03:00 in Berlin: there is no 02:30.
    assert_eq!(
        walk("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        [
            "2026-03-28 02:30:00 +0100",
            "2026-03-29 03:00:00 +0200",
            "2026-03-30 02:30:00 +0200",
        ]
    );
}

#[test]
fn a_time_that_the_clock_repeats_comes_once() {
    // 2026-10-25 03:00 is 02:00 again in Berlin.
    assert_eq!(
        walk("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25 02:30:00 +0200", "2026-10-26 02:30:00 +0100"]
    );
}

#[test]
fn what_repeats_goes_on_through_the_repeated_hour() {
    assert_eq!(
        walk("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 4),
        [
            "2026-10-25 02:30:00 +0200",
            "2026-10-25 02:00:00 +0100",
            "2026-10-25 02:30:00 +0100",
            "2026-10-25 03:00:00 +0100",
        ]
    );
}

#[test]
fn seconds_and_nicknames_are_patterns_and_years_are_not() {
    assert_eq!(
        walk("*/20 * * * * *", "UTC", "2026-01-01T00:00:01Z", 2),
        ["2026-01-01 00:00:20 +0000", "2026-01-01 00:00:40 +0000"]
    );
    assert_eq!(
        walk("@weekly", "UTC", "2026-01-01T00:00:00Z", 1),
        ["2026-01-04 00:00:00 +0000"]
    );
    let years = Timetable::parse("0 0 0 1 1 * 2027", "UTC");
    assert!(matches!(years, Err(CronError::Pattern { .. })), "{years:?}");
}

#[test]
fn what_is_no_schedule_is_refused() {
    for cron in ["", "* * *", "61 * * * *", "no idea", "* * * * 9"] {
        let refused = Timetable::parse(cron, "UTC");
        assert!(matches!(refused, Err(CronError::Pattern { .. })), "{cron}");
    }
    let long = "1,".repeat(500);
    assert!(Timetable::parse(&format!("{long} * * * *"), "UTC").is_err());
    for zone in ["Mars/Olympus", "", "local"] {
        let refused = Timetable::parse("0 0 * * *", zone);
        assert_eq!(refused.err(), Some(CronError::TimeZone(zone.into())));
    }
    let never = table("0 0 30 2 *", "UTC").next(at("2026-01-01T00:00:00Z"));
    assert_eq!(never, Err(CronError::Never("0 0 30 2 *".into())));
}

#[test]
fn zones_are_known_without_the_machine_s_own_list() {
    // Compiled in, since a container need not have any.
    assert!(
        jiff::tz::TimeZoneDatabase::bundled()
            .get("Asia/Kolkata")
            .is_ok()
    );
}

#[test]
fn a_schedule_that_is_new_only_finds_out_when_it_is_next() {
    let turn = table("0 * * * *", "UTC").turn(None, at("2026-01-01T10:20:00Z"), Missed::All);
    assert_eq!(turn.fires, []);
    assert_eq!(turn.next, Some(at("2026-01-01T11:00:00Z")));
}

#[test]
fn what_was_missed_is_up_to_the_policy() {
    let table = table("0 * * * *", "UTC");
    let due = Some(at("2026-01-01T08:00:00Z"));
    let now = at("2026-01-01T10:20:00Z");
    let hours = ["08", "09", "10"].map(|h| at(&format!("2026-01-01T{h}:00:00Z")));
    let turn = |missed| table.turn(due, now, missed);
    let next = Some(at("2026-01-01T11:00:00Z"));
    let told = |fires: &[Timestamp], missed: &[Timestamp]| Turn {
        fires: fires.to_vec(),
        missed: missed.to_vec(),
        next,
    };
    let [first, second, third] = hours;
    assert_eq!(turn(Missed::All), told(&hours, &[]));
    assert_eq!(turn(Missed::Last), told(&[third], &[first, second]));
    assert_eq!(turn(Missed::None), told(&[], &hours));
    // A node that looks half a minute late has missed nothing.
    let now = at("2026-01-01T10:00:30Z");
    assert_eq!(
        table.turn(due, now, Missed::None),
        told(&[third], &[first, second])
    );
}

#[test]
fn a_month_of_minutes_is_a_hundred_jobs() {
    let table = table("* * * * *", "UTC");
    let now = at("2026-02-01T00:00:00Z");
    let turn = table.turn(Some(at("2026-01-01T00:00:00Z")), now, Missed::All);
    assert_eq!(turn.fires.len(), FIRES_MAX);
    assert_eq!(turn.fires.last(), Some(&now));
    assert_eq!(turn.fires.first(), Some(&at("2026-01-31T22:21:00Z")));
}

proptest! {
    /// Whatever happens between two looks: no time comes twice, none is lost
    /// while there are at most a hundred, and all are in order.
    #[test]
    fn looks_at_any_moments_fire_every_time_once(
        start in 1_735_000_000_i64..1_800_000_000,
        gaps in prop::collection::vec(1_i64..90_000, 1..20),
        which in 0_usize..4,
    ) {
        let cron = ["*/30 * * * *", "15 2 * * *", "0 3 * * SUN", "59 1,2,3 * * *"].get(which).copied().unwrap_or("@daily");
        let table = table(cron, "Europe/Berlin");
        let mut now = Timestamp::from_second(start).expect("in range");
        let end = start + gaps.iter().sum::<i64>();
        let mut due = table.turn(None, now, Missed::All).next;
        let mut fired = Vec::new();
        for gap in gaps {
            now += SignedDuration::from_secs(gap);
            let turn = table.turn(due, now, Missed::All);
            fired.extend(turn.fires);
            due = turn.next;
        }
        let mut expected = Vec::new();
        let mut moment = Timestamp::from_second(start).expect("in range");
        loop {
            moment = table.next(moment).expect("a next time");
            if moment.as_second() > end {
                break;
            }
            expected.push(moment);
        }
        prop_assert_eq!(fired, expected);
    }
}
