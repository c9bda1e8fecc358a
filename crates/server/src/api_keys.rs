//! Platform API keys as the gateway sees them: all that are valid now, in
//! memory, by the SHA-256 of their secrets.
//!
//! A request costs one hash and one look into a map, and never a question to
//! the database. [`follow`] keeps the map like the database: it hears of every
//! change, and reads everything again from time to time. When a key was used
//! is noted in memory and written down by the same task, many at once.
//!
//! The map is found by a hash that nobody can choose, so how long a look-up
//! takes says nothing about a secret. The tables and what may be in them are in
//! `migrations/0013_api_keys.sql`; which scopes open which room says
//! `gateway/grants.rs`.

mod follow;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use kernel::{Caller, Clock};
use pg::{Row, Rows};
use ring::digest;

pub(crate) use follow::{Follower, start};

/// What every platform key begins with.
pub(crate) const PREFIX: &str = "fbk_";

/// Secrets in memory, at about half a kilobyte each; `load.sql` has the number
/// plus one. Those of users beyond it are not accepted, and that is logged.
const SECRETS_MAX: usize = 20_000;

/// A longer text is no key of ours and is not hashed.
const KEY_BYTES_MAX: usize = 128;

/// The SHA-256 of a secret.
type Hash = [u8; 32];

/// What a key means: shared by its secrets.
#[derive(Debug)]
pub(crate) struct ApiKey {
    /// Whom it stands for.
    pub(crate) caller: Caller,
    /// What may be shown of the secret.
    pub(crate) prefix: Arc<str>,
    /// What it may be used for.
    scopes: Box<[Box<str>]>,
    /// The last second at which it is accepted.
    until: i64,
    id: Box<str>,
    rate: Option<Rate>,
    /// When it was last used, in seconds; 0 for not since we look.
    used: Arc<AtomicI64>,
}

/// Requests of one key in a minute, on this node.
#[derive(Clone, Debug)]
struct Rate {
    per_minute: NonZeroU32,
    limiter: Arc<DefaultDirectRateLimiter>,
}

/// The keys that are valid now.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    table: ArcSwap<HashMap<Hash, Arc<ApiKey>>>,
    clock: Clock,
}

impl ApiKeys {
    /// None yet.
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            table: ArcSwap::default(),
            clock,
        })
    }

    /// The key behind this text and its fingerprint, if it is valid now; notes
    /// that it was used.
    pub(crate) fn find(&self, text: &str) -> Option<(Hash, Arc<ApiKey>)> {
        if text.len() > KEY_BYTES_MAX {
            return None;
        }
        let hash = sha256(text);
        let key = Arc::clone(self.table.load().get(&hash)?);
        let now = self.clock.now().as_second();
        if now >= key.until {
            return None;
        }
        // Most requests find the second that the one before them has noted.
        if key.used.load(Ordering::Relaxed) != now {
            key.used.store(now, Ordering::Relaxed);
        }
        Some((hash, key))
    }

    /// Puts what was read in the place of what was. Limits and notes of use
    /// go over to the new.
    fn replace(&self, rows: &Rows) {
        let old = self.table.load();
        let mut rates: HashMap<Box<str>, Rate> = old
            .values()
            .filter_map(|key| Some((key.id.clone(), key.rate.clone()?)))
            .collect();
        let mut new = HashMap::with_capacity(rows.len());
        for row in rows.iter().take(SECRETS_MAX) {
            let Some((hash, mut key)) = read(row) else {
                tracing::error!("A row of ferrobase.api_keys is not as written");
                continue;
            };
            if let Some(rate) = &mut key.rate {
                match rates.get(&key.id) {
                    Some(known) if known.per_minute == rate.per_minute => *rate = known.clone(),
                    // Both secrets of a key that is being rotated share one.
                    _ => drop(rates.insert(key.id.clone(), rate.clone())),
                }
            }
            if let Some(known) = old.get(&hash) {
                key.used = Arc::clone(&known.used);
            }
            new.insert(hash, Arc::new(key));
        }
        if rows.len() > SECRETS_MAX {
            tracing::warn!(
                "There are more than {SECRETS_MAX} API keys; those of users that were not used \
                 lately are refused"
            );
        }
        self.table.store(Arc::new(new));
    }

    /// Hash and second of those that were used after `since`.
    fn used_since(&self, since: i64) -> Vec<(Hash, i64)> {
        let table = self.table.load();
        table
            .iter()
            .map(|(hash, key)| (*hash, key.used.load(Ordering::Relaxed)))
            .filter(|(_, used)| *used > since)
            .collect()
    }
}

impl ApiKey {
    /// Whether policies do not hold for it, which belongs on servers only.
    pub(crate) fn passes_policies(&self) -> bool {
        &*self.caller.role == "service_role"
    }

    /// Whether this scope was given.
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|given| &**given == scope)
    }

    /// Seconds to wait, when it has asked too often.
    pub(crate) fn check_rate(&self) -> Option<u64> {
        let until = self.rate.as_ref()?.limiter.check().err()?;
        let wait = until.wait_time_from(DefaultClock::default().now());
        Some(wait.as_secs() + 1)
    }
}

#[cfg(test)]
impl ApiKey {
    /// A key with these scopes, for tests of what they mean.
    pub(crate) fn with_scopes(scopes: &str) -> Self {
        Self {
            caller: Caller::anonymous("anon"),
            prefix: PREFIX.into(),
            scopes: scopes.split(' ').map(Box::from).collect(),
            until: i64::MAX,
            id: Box::default(),
            rate: None,
            used: Arc::default(),
        }
    }
}

impl Rate {
    fn new(per_minute: NonZeroU32) -> Self {
        let limiter = RateLimiter::direct(Quota::per_minute(per_minute));
        Self {
            per_minute,
            limiter: Arc::new(limiter),
        }
    }
}

/// A row of `load.sql`.
fn read(row: Row<'_>) -> Option<(Hash, ApiKey)> {
    let per_minute = row.get(6).and_then(|number| number.parse().ok());
    let key = ApiKey {
        caller: Caller {
            role: row.get(2)?.into(),
            claims: row.get(3)?.into(),
            authenticated: true,
            read_only: row.get(5)? == "t",
        },
        prefix: row.get(1)?.into(),
        scopes: row.get(4)?.split(' ').map(Box::from).collect(),
        until: match row.get(7) {
            Some(seconds) => seconds.parse().ok()?,
            None => i64::MAX,
        },
        id: row.get(8)?.into(),
        rate: per_minute.map(Rate::new),
        used: Arc::default(),
    };
    Some((unhex(row.get(0)?)?, key))
}

fn sha256(text: &str) -> Hash {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

fn hex(hash: &Hash) -> String {
    use std::fmt::Write as _;
    hash.iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let digits = (text.len() == 64 && text.is_ascii()).then_some(text)?;
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}
