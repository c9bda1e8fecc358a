//! How often one may ask: GoTrue's limits by route and address, and a limit on
//! wrong passwords and codes by account.
//!
//! Start with [`Limits`]. What config.toml calls a limit is a [`Kind`]. Each is
//! a bucket that fills with time; keys are hashed with a secret into a fixed
//! number of places, so memory is bounded however many addresses come, and
//! nobody can aim at a neighbour's place. Limits hold for one node: with N
//! nodes behind a balancer they are up to N times as high.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use kernel::Clock;

const HOUR: Duration = Duration::from_secs(3600);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);

/// What GoTrue allows at once, whatever the rate.
const BURST: u32 = 30;

/// What is limited, by the names of `[auth.rate_limit]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mails in an hour, all users together (`over_email_send_rate_limit`).
    EmailSent,
    /// Text messages in an hour, all users together
    /// (`over_sms_send_rate_limit`).
    SmsSent,
    /// Anonymous users in an hour and from one address.
    AnonymousUsers,
    /// Refreshes in five minutes and from one address.
    TokenRefresh,
    /// Sign-ups and sign-ins in five minutes and from one address.
    SignInSignUps,
    /// Checks of codes and links in five minutes and from one address.
    TokenVerifications,
    /// Codes and links asked for in five minutes and from one address.
    Otp,
    /// Challenges and codes of second factors in a minute and from one address.
    MfaVerify,
    /// Clients that register themselves in five minutes and from one address.
    OAuthClientRegister,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::EmailSent,
        Self::SmsSent,
        Self::AnonymousUsers,
        Self::TokenRefresh,
        Self::SignInSignUps,
        Self::TokenVerifications,
        Self::Otp,
        Self::MfaVerify,
        Self::OAuthClientRegister,
    ];
}

/// The numbers; zero is no limit. The defaults are those that the Supabase CLI
/// writes into a new project, GoTrue's own where it writes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Mails an hour; zero when the built-in inbox takes them.
    pub email_sent: u32,
    /// Text messages an hour.
    pub sms_sent: u32,
    /// An hour and address.
    pub anonymous_users: u32,
    /// Five minutes and address.
    pub token_refresh: u32,
    /// Five minutes and address.
    pub sign_in_sign_ups: u32,
    /// Five minutes and address.
    pub token_verifications: u32,
    /// Five minutes and address.
    pub otp: u32,
    /// A minute and address.
    pub mfa_verify: u32,
    /// Five minutes and address.
    pub oauth_client_register: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            email_sent: 2,
            sms_sent: 30,
            anonymous_users: 30,
            token_refresh: 150,
            sign_in_sign_ups: 30,
            token_verifications: 30,
            otp: 30,
            mfa_verify: 15,
            oauth_client_register: 10,
        }
    }
}

/// Too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Request rate limit reached")]
pub struct TooMany {
    /// When it may be tried again, for `Retry-After`; at least a second.
    pub retry_after: Duration,
}

/// The limits in force.
#[derive(Debug)]
pub struct Limits {
    clock: Clock,
    hasher: RandomState,
    rates: HashMap<Kind, Rate>,
    /// Wrong guesses at one account from one network.
    nearby: Failures,
    /// Wrong guesses at one account from anywhere.
    anywhere: Failures,
}

type Rate = RateLimiter<u16, DashMapStateStore<u16>, Ticks, NoOpMiddleware<Duration>>;

impl Limits {
    /// Limits with nothing counted yet.
    #[must_use]
    pub fn new(config: LimitsConfig, clock: Clock) -> Self {
        let ticks = Ticks {
            start: clock.now(),
            clock: clock.clone(),
        };
        let rate = |kind| Some((kind, rate(kind, config, &ticks)?));
        Self {
            hasher: RandomState::new(),
            rates: Kind::ALL.into_iter().filter_map(rate).collect(),
            nearby: Failures::new(NEARBY),
            anywhere: Failures::new(ANYWHERE),
            clock,
        }
    }

    /// Counts one request of an address.
    pub fn check(&self, kind: Kind, ip: IpAddr) -> Result<(), TooMany> {
        self.take(kind, &network(ip))
    }

    /// Counts one mail or text message, whoever asked for it.
    pub fn check_all(&self, kind: Kind) -> Result<(), TooMany> {
        self.take(kind, &())
    }

    fn take(&self, kind: Kind, who: &impl Hash) -> Result<(), TooMany> {
        let Some(rate) = self.rates.get(&kind) else {
            return Ok(());
        };
        rate.check_key(&self.place(who)).map_err(|until| {
            let now = rate.clock().now();
            TooMany::after(until.earliest_possible().duration_since(now).into())
        })
    }

    /// Whether one more guess at this account's password or code is allowed.
    /// `account` is the normalised address or user id; whether it exists must
    /// not matter. Only [`Limits::failed`] counts, so people who know their
    /// password may sign in as often as they like.
    pub fn check_account(&self, account: &str, ip: IpAddr) -> Result<(), TooMany> {
        let now = self.clock.now();
        self.nearby
            .check(self.place(&(account, network(ip))), now)?;
        self.anywhere.check(self.place(&account), now)
    }

    /// Counts a wrong guess.
    pub fn failed(&self, account: &str, ip: IpAddr) {
        let now = self.clock.now();
        self.nearby.count(self.place(&(account, network(ip))), now);
        self.anywhere.count(self.place(&account), now);
    }

    /// Forgets the wrong guesses from this network, after a right one. Those
    /// from anywhere stay: an attacker with an account of their own must not
    /// be able to clear somebody else's.
    pub fn succeeded(&self, account: &str, ip: IpAddr) {
        self.nearby.forget(self.place(&(account, network(ip))));
    }

    fn place(&self, who: &impl Hash) -> u16 {
        u16::try_from(self.hasher.hash_one(who) & 0xFFFF).unwrap_or_default()
    }
}

impl TooMany {
    fn after(wait: Duration) -> Self {
        // Rounded up, so that whoever obeys is not refused once more.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            retry_after: Duration::from_secs(seconds.max(1)),
        }
    }
}

fn rate(kind: Kind, config: LimitsConfig, ticks: &Ticks) -> Option<Rate> {
    let (events, window, burst) = match kind {
        Kind::EmailSent => (config.email_sent, HOUR, config.email_sent),
        Kind::SmsSent => (config.sms_sent, HOUR, config.sms_sent),
        Kind::AnonymousUsers => (config.anonymous_users, HOUR, config.anonymous_users),
        Kind::TokenRefresh => (config.token_refresh, FIVE_MINUTES, BURST),
        Kind::SignInSignUps => (config.sign_in_sign_ups, FIVE_MINUTES, BURST),
        Kind::TokenVerifications => (config.token_verifications, FIVE_MINUTES, BURST),
        Kind::Otp => (config.otp, FIVE_MINUTES, BURST),
        Kind::MfaVerify => (config.mfa_verify, MINUTE, BURST),
        Kind::OAuthClientRegister => (config.oauth_client_register, FIVE_MINUTES, BURST),
    };
    let quota = Quota::with_period(window.checked_div(events)?)?;
    let quota = quota.allow_burst(NonZeroU32::new(burst)?);
    let store = DashMapStateStore::default();
    Some(RateLimiter::new(quota, store, ticks.clone()))
}

/// Our clock, as governor wants it.
#[derive(Clone, Debug)]
struct Ticks {
    clock: Clock,
    start: Timestamp,
}

impl GovernorClock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        // Before the start only when the system's clock was set back.
        Duration::try_from(self.clock.now().duration_since(self.start)).unwrap_or_default()
    }
}

/// So many wrong guesses at once, and one more in every period.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    at_once: i64,
    period: Duration,
}

/// A person who has forgotten a password, at their desk.
const NEARBY: Allowed = Allowed {
    at_once: 10,
    period: Duration::from_secs(30),
};

/// Many addresses guessing at one account. High enough that locking somebody
/// out takes a botnet, low enough that guessing is hopeless: 2,500 a day.
const ANYWHERE: Allowed = Allowed {
    at_once: 100,
    period: Duration::from_secs(36),
};

/// Wrong guesses by place. What is kept is when all of them will have been
/// forgotten (a leaky bucket by its end, "GCRA").
#[derive(Debug)]
struct Failures {
    allowed: Allowed,
    counted: Mutex<Counted>,
}

/// Moments in microseconds.
#[derive(Debug, Default)]
struct Counted {
    /// At most one entry for each place.
    forgotten_at: HashMap<u16, i64>,
    /// When what is forgotten next makes room.
    sweep_at: i64,
}

impl Failures {
    fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            counted: Mutex::default(),
        }
    }

    fn period(&self) -> i64 {
        i64::try_from(self.allowed.period.as_micros()).unwrap_or(i64::MAX)
    }

    fn check(&self, place: u16, now: Timestamp) -> Result<(), TooMany> {
        let Some(end) = self.lock().forgotten_at.get(&place).copied() else {
            return Ok(());
        };
        let room = self.period() * (self.allowed.at_once - 1);
        let wait = end - room - now.as_microsecond();
        if wait <= 0 {
            return Ok(());
        }
        let wait = u64::try_from(wait).unwrap_or_default();
        Err(TooMany::after(Duration::from_micros(wait)))
    }

    fn count(&self, place: u16, now: Timestamp) {
        let mut counted = self.lock();
        let now = now.as_microsecond();
        let full = now.saturating_add(self.period() * self.allowed.at_once);
        if counted.sweep_at <= now {
            counted.forgotten_at.retain(|_, end| *end > now);
            // By then whatever is counted now is forgotten.
            counted.sweep_at = full;
        }
        let end = counted.forgotten_at.entry(place).or_insert(now);
        // Guesses that were under way together may be more than are allowed.
        *end = ((*end).max(now) + self.period()).min(full);
    }

    fn forget(&self, place: u16) {
        self.lock().forgotten_at.remove(&place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address, or for IPv6 the network that one customer is usually given:
/// single addresses there are free to change.
fn network(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn limits(config: LimitsConfig) -> (Limits, Clock) {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        (Limits::new(config, clock.clone()), clock)
    }

    #[test]
    fn an_address_has_a_burst_and_then_the_rate() {
        let (limits, clock) = limits(LimitsConfig::default());
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for _ in 0..BURST {
            assert_eq!(limits.check(Kind::Otp, one), Ok(()));
        }
        // 30 in five minutes are one in ten seconds.
        let refused = limits.check(Kind::Otp, one).expect_err("too many");
        assert_eq!(refused.retry_after, Duration::from_secs(10));
        assert_eq!(limits.check(Kind::Otp, other), Ok(()));
        assert_eq!(limits.check(Kind::TokenRefresh, one), Ok(()));
        clock.advance(refused.retry_after);
        assert_eq!(limits.check(Kind::Otp, one), Ok(()));
        assert!(limits.check(Kind::Otp, one).is_err());
    }

    #[test]
    fn mails_are_limited_for_all_together_and_zero_is_no_limit() {
        let (limits, clock) = limits(LimitsConfig {
            sms_sent: 0,
            ..LimitsConfig::default()
        });
        assert!(limits.check_all(Kind::EmailSent).is_ok());
        assert!(limits.check_all(Kind::EmailSent).is_ok());
        let refused = limits.check_all(Kind::EmailSent).expect_err("too many");
        assert_eq!(refused.retry_after, HOUR / 2);
        clock.advance(HOUR / 2);
        assert!(limits.check_all(Kind::EmailSent).is_ok());
        for _ in 0..1000 {
            assert!(limits.check_all(Kind::SmsSent).is_ok());
        }
    }

    #[test]
    fn a_customers_ipv6_network_is_one_address() {
        let (limits, _) = limits(LimitsConfig::default());
        for host in 0..BURST {
            let address = ip(&format!("2001:db8:1:2::{host:x}"));
            assert_eq!(limits.check(Kind::Otp, address), Ok(()));
        }
        assert!(limits.check(Kind::Otp, ip("2001:db8:1:2:ffff::1")).is_err());
        assert_eq!(limits.check(Kind::Otp, ip("2001:db8:1:3::1")), Ok(()));
        assert_eq!(network(ip("::ffff:192.0.2.1")), network(ip("192.0.2.1")));
    }

    #[test]
    fn guessing_ends_and_knowing_does_not() {
        let (limits, clock) = limits(LimitsConfig::default());
        let (attacker, owner) = (ip("198.51.100.1"), ip("203.0.113.1"));
        for _ in 0..10 {
            assert_eq!(limits.check_account("a@x", attacker), Ok(()));
            limits.failed("a@x", attacker);
        }
        let refused = limits.check_account("a@x", attacker).expect_err("enough");
        assert_eq!(refused.retry_after, NEARBY.period);
        // The owner, elsewhere, is not locked out; neither are other accounts.
        for _ in 0..1000 {
            assert_eq!(limits.check_account("a@x", owner), Ok(()));
            limits.succeeded("a@x", owner);
        }
        assert_eq!(limits.check_account("b@x", attacker), Ok(()));
        clock.advance(refused.retry_after);
        assert_eq!(limits.check_account("a@x", attacker), Ok(()));
        limits.failed("a@x", attacker);
        assert!(limits.check_account("a@x", attacker).is_err());
    }

    #[test]
    fn many_addresses_do_not_help() {
        let (limits, _) = limits(LimitsConfig::default());
        let mut tried = 0;
        for host in 0..=255_u8 {
            let from = IpAddr::from([10, 0, 0, host]);
            if limits.check_account("a@x", from).is_ok() {
                limits.failed("a@x", from);
                // Signing in to an account of one's own clears nothing.
                limits.succeeded("mine@x", from);
                tried += 1;
            }
        }
        assert_eq!(i64::from(tried), ANYWHERE.at_once);
    }

    #[test]
    fn a_million_accounts_take_no_more_room_than_places() {
        let failures = Failures::new(NEARBY);
        for place in (0..16).flat_map(|_| 0..=u16::MAX) {
            failures.count(place, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(failures.lock().forgotten_at.len(), 65_536);
        let later = Timestamp::from_second(10_000).expect("in range");
        failures.forget(0);
        failures.count(0, later);
        assert_eq!(failures.lock().forgotten_at.len(), 1);
    }
}
