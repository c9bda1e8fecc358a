//! Passwords: made into bcrypt hashes, checked against whatever hash their
//! user brought along, on threads of their own.
//!
//! New hashes are bcrypt with cost 10, which is what GoTrue writes and the only
//! format that every version of it reads: a dump moves both ways and nobody
//! has to choose a new password. Hashes of other systems are checked once and
//! then replaced ([`Verdict::Right`] says when).
//!
//! Start with [`Passwords`]. `encoded` reads hashes and holds the bounds that
//! keep a hostile one from eating memory or time; `pool` keeps hashing off
//! the runtime and below the database's work in priority; `rules` says which
//! passwords are good enough.
//!
//! Invariants: a check always costs about one bcrypt, whether the user exists
//! or not; comparisons take the same time wherever they differ; nothing here
//! logs a password or a hash.

mod derive;
mod encoded;
mod pool;
mod pwned;
mod rules;

use std::sync::Arc;

use kernel::Rng;

use encoded::Encoded;
use pool::Pool;

pub use encoded::Unusable;
pub use pool::{PoolConfig, TooBusy};
pub use pwned::Pwned;
pub use rules::{Breached, PASSWORD_BYTES_MAX, PasswordRules, RulesError, Weakness};

/// What GoTrue hashes with (`bcrypt.DefaultCost` of Go).
pub const COST: u32 = 10;

/// Makes and checks hashes. Cheap to clone; the threads end with the last one.
#[derive(Clone, Debug)]
pub struct Passwords {
    pool: Arc<Pool>,
    rng: Rng,
    cost: u32,
    /// Checked for users who do not exist, or have no password.
    nobody: Arc<str>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the user's password.
    Right {
        /// The stored hash is not what we would write today: hash the password
        /// again and keep that.
        rehash: bool,
    },
    /// It is not, or there is none.
    Wrong,
    /// The stored hash cannot be checked by anybody here. To the client this
    /// is [`Verdict::Wrong`]; to the operator it is worth a line.
    Unusable(Unusable),
}

impl Verdict {
    /// Whether the caller is who they say.
    #[must_use]
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

/// A password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// bcrypt reads 72 bytes; what comes behind would not matter.
    #[error("Password cannot be longer than {PASSWORD_BYTES_MAX} characters")]
    TooLong,
    /// See [`TooBusy`].
    #[error(transparent)]
    Busy(#[from] TooBusy),
}

impl Passwords {
    /// Starts the threads.
    pub fn start(config: PoolConfig, rng: Rng) -> std::io::Result<Self> {
        Self::with_cost(config, rng, COST)
    }

    /// As [`Passwords::start`], with another bcrypt cost than GoTrue's.
    pub fn with_cost(config: PoolConfig, rng: Rng, cost: u32) -> std::io::Result<Self> {
        let cost = cost.clamp(encoded::BCRYPT_COST_MIN, encoded::BCRYPT_COST_MAX);
        let secret = rng.uuid().to_string();
        let nobody = derive::bcrypt_hash(secret.as_bytes(), cost, rng.bytes());
        Ok(Self {
            pool: Arc::new(Pool::start(config)?),
            nobody: nobody.into(),
            rng,
            cost,
        })
    }

    /// A hash to store for a password.
    pub async fn hash(&self, password: &str) -> Result<String, HashError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(HashError::TooLong);
        }
        let (password, salt, cost) = (password.to_owned(), self.rng.bytes(), self.cost);
        let hash = move || derive::bcrypt_hash(password.as_bytes(), cost, salt);
        Ok(self.pool.run(0, hash).await?)
    }

    /// Checks a password against what is stored for its user. `None` for a
    /// user who does not exist or has no password; this takes as long.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<Verdict, TooBusy> {
        let parsed = match stored.filter(|text| !text.is_empty()) {
            Some(text) => Encoded::parse(text).map(Some),
            None => Ok(None),
        };
        let known = matches!(parsed, Ok(Some(_)));
        let (encoded, otherwise) = match parsed {
            Ok(Some(encoded)) => (encoded, Verdict::Wrong),
            Ok(None) => (self.dummy(), Verdict::Wrong),
            Err(why) => (self.dummy(), Verdict::Unusable(why)),
        };
        let rehash = !encoded.is_current(self.cost);
        let memory = encoded.memory();
        let password = password.to_owned();
        let check = move || derive::matches(&encoded, password.as_bytes());
        let right = self.pool.run(memory, check).await?;
        Ok(if right && known {
            Verdict::Right { rehash }
        } else {
            otherwise
        })
    }

    /// Whether a stored hash is of a kind that [`Passwords::verify`] can check:
    /// for imports, and for an administrator who sets a hash.
    pub fn check_format(stored: &str) -> Result<(), Unusable> {
        Encoded::parse(stored).map(|_| ())
    }

    /// Whether a stored hash is not what we would write today.
    #[must_use]
    pub fn needs_rehash(&self, stored: &str) -> bool {
        Encoded::parse(stored).is_ok_and(|encoded| !encoded.is_current(self.cost))
    }

    fn dummy(&self) -> Encoded {
        // We made it ourselves, so it can be read.
        Encoded::parse(&self.nobody).unwrap_or(Encoded::NOTHING)
    }
}

#[cfg(test)]
mod tests;
