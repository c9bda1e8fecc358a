//! From a token to a [`Caller`], remembering tokens that were verified. A hit
//! costs one SHA-256 and one look into a map.
//!
//! The cache holds digests, not tokens, and only successes: a flood of forged
//! tokens cannot push out good ones. It is a clock: a hit marks its slot, the
//! hand takes the first unmarked slot it meets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Caller, Clock};
use ring::digest;
use serde_json::Value;

use super::jwt::{self, JwtError, VerifyKeys};
use super::role_path::RolePath;

/// Fewer threads than this ever run at once on machines we know.
const SHARDS: usize = 16;

/// What a token or key is known by: its SHA-256.
pub(crate) type Fingerprint = [u8; 32];

/// SHA-256 of a token or key.
pub(crate) fn fingerprint(text: &str) -> Fingerprint {
    let mut out = [0; 32];
    for (to, from) in out
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    {
        *to = *from;
    }
    out
}

/// Turns tokens into callers.
pub(crate) struct Verifier {
    keys: VerifyKeys,
    audience: Option<String>,
    role_path: RolePath,
    anon_role: Option<Arc<str>>,
    clock: Clock,
    /// A mutex each, held for a look-up only and never across an await.
    shards: Vec<Mutex<Shard>>,
}

/// Why a token gives no caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Jwt(JwtError),
    /// The token names no role and there is no anonymous one.
    NoRole,
}

impl Verifier {
    pub(crate) fn new(
        keys: VerifyKeys,
        auth: &crate::config::AuthConfig,
        anon_role: Option<Arc<str>>,
        clock: Clock,
    ) -> Self {
        let per_shard = auth.jwt_cache_entries.div_ceil(SHARDS);
        Self {
            keys,
            audience: auth.jwt_aud.clone(),
            role_path: auth.role_claim_key.clone(),
            anon_role,
            clock,
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Shard::new(per_shard)))
                .collect(),
        }
    }

    /// The caller behind a token, from memory or by verifying it now.
    pub(crate) fn caller(&self, token: &str, print: &Fingerprint) -> Result<Caller, TokenError> {
        let now = self.clock.now().as_second();
        let shard = self.shard(print);
        if let Some((caller, until)) = shard.and_then(|shard| lock(shard).get(print)) {
            return if now <= until {
                Ok(caller)
            } else {
                Err(TokenError::Jwt(JwtError::Expired))
            };
        }
        let (caller, until) = self.verify(token, now)?;
        if let Some(shard) = shard {
            lock(shard).put(*print, caller.clone(), until);
        }
        Ok(caller)
    }

    fn shard(&self, print: &Fingerprint) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::from(print[0]) % SHARDS)
    }

    fn verify(&self, token: &str, now: i64) -> Result<(Caller, i64), TokenError> {
        let mut claims = self.keys.open(token).map_err(TokenError::Jwt)?;
        let until =
            jwt::check_claims(&claims, self.audience.as_deref(), now).map_err(TokenError::Jwt)?;
        let claims_value = Value::Object(claims);
        let found = self.role_path.find(&claims_value);
        let role: Arc<str> = match (found, &self.anon_role) {
            (Some(role), _) => role.into(),
            (None, Some(anon)) => Arc::clone(anon),
            (None, None) => return Err(TokenError::NoRole),
        };
        claims = match claims_value {
            Value::Object(claims) => claims,
            _ => serde_json::Map::new(),
        };
        claims.insert("role".to_owned(), Value::String(role.to_string()));
        let authenticated = self.anon_role.as_ref() != Some(&role);
        let claims = Value::Object(claims).to_string().into();
        Ok((
            Caller {
                role,
                claims,
                authenticated,
            },
            until,
        ))
    }
}

fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    // A shard is whole between any two statements, so a panic elsewhere while
    // holding it left nothing half done.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shard {
    capacity: usize,
    places: HashMap<Fingerprint, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

struct Slot {
    print: Fingerprint,
    caller: Caller,
    until: i64,
    used: bool,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            places: HashMap::new(),
            slots: Vec::new(),
            hand: 0,
        }
    }

    fn get(&mut self, print: &Fingerprint) -> Option<(Caller, i64)> {
        let slot = self.slots.get_mut(*self.places.get(print)?)?;
        slot.used = true;
        Some((slot.caller.clone(), slot.until))
    }

    fn put(&mut self, print: Fingerprint, caller: Caller, until: i64) {
        if self.capacity == 0 || self.places.contains_key(&print) {
            return;
        }
        let new = Slot {
            print,
            caller,
            until,
            used: false,
        };
        if self.slots.len() < self.capacity {
            self.places.insert(print, self.slots.len());
            self.slots.push(new);
            return;
        }
        let at = self.victim();
        if let Some(slot) = self.slots.get_mut(at) {
            self.places.remove(&slot.print);
            *slot = new;
            self.places.insert(print, at);
        }
    }

    /// The next slot nobody has used since the hand last passed.
    fn victim(&mut self) -> usize {
        loop {
            let at = self.hand % self.slots.len().max(1);
            self.hand = at + 1;
            match self.slots.get_mut(at) {
                Some(slot) if slot.used => slot.used = false,
                _ => return at,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(n: u8) -> Fingerprint {
        let mut print = [0; 32];
        print[1] = n;
        print
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut shard = Shard::new(3);
        for n in 0..3 {
            shard.put(print(n), Caller::anonymous("anon"), 10);
        }
        assert!(shard.get(&print(0)).is_some());
        for n in 3..200 {
            shard.get(&print(0));
            shard.put(print(n), Caller::anonymous("anon"), 10);
            assert!(shard.slots.len() == 3 && shard.places.len() == 3);
        }
        assert!(
            shard.get(&print(0)).is_some(),
            "used between any two others"
        );
        assert!(shard.get(&print(1)).is_none());
    }

    #[test]
    fn a_cache_of_nothing_holds_nothing() {
        let mut shard = Shard::new(0);
        shard.put(print(1), Caller::anonymous("anon"), 10);
        assert!(shard.get(&print(1)).is_none());
    }
}
