//! From a token to a [`Caller`], remembering tokens that were verified. A hit
//! costs one keyed hash, one look into a map and one comparison of the whole
//! token; a SHA-256 for each request would be a tenth of the gateway's work.
//! A miss costs what the signature costs: 57 µs for ES256 on the machine of
//! `benches/results`, of which 52 are ring's, which reads the key anew each
//! time but spends nearly all of it on the curve and has no way to keep a key
//! that was read; 5 µs for HS256. A hit on a token of 600 bytes costs 1.1 µs,
//! compiled without optimisation. A token lives for an hour and is verified
//! once on each server.
//!
//! The cache holds only successes: a flood of forged tokens cannot push out
//! good ones. It is a clock: a hit marks its slot, the
//! hand takes the first unmarked slot it meets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Caller, Clock};
use ring::digest;
use serde_json::Value;

use super::issuers::Issuers;
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
    /// Who else may say to have made a token that our keys verify.
    issuer_names: Vec<String>,
    role_path: RolePath,
    anon_role: Option<Arc<str>>,
    clock: Clock,
    issuers: Issuers,
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
        issuers: Issuers,
    ) -> Self {
        let per_shard = auth.jwt_cache_entries.div_ceil(SHARDS);
        Self {
            keys,
            audience: auth.jwt_aud.clone(),
            issuer_names: auth.jwt_issuers.clone(),
            role_path: auth.role_claim_key.clone(),
            anon_role,
            clock,
            issuers,
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Shard::new(per_shard)))
                .collect(),
        }
    }

    /// The caller behind a token and what the token is known by, from memory
    /// or by verifying it now.
    pub(crate) fn caller(&self, token: &str) -> Result<(Caller, Fingerprint), TokenError> {
        let now = self.clock.now().as_second();
        let shard = self.shard(token);
        if let Some(known) = shard.and_then(|shard| lock(shard).get(token)) {
            return if now <= known.until {
                Ok((known.caller, known.print))
            } else {
                Err(TokenError::Jwt(JwtError::Expired))
            };
        }
        let (caller, until) = self.verify(token, now)?;
        let known = Known {
            caller,
            print: fingerprint(token),
            until,
        };
        if let Some(shard) = shard {
            lock(shard).put(token, known.clone());
        }
        Ok((known.caller, known.print))
    }

    /// Waits for the keys of the issuer that a token names, if it is one of
    /// those that are believed and the token is not known yet.
    pub(crate) async fn prepare(&self, token: &str) {
        if self.issuers.is_empty() {
            return;
        }
        let shard = self.shard(token);
        if shard.is_some_and(|shard| lock(shard).get(token).is_some()) {
            return;
        }
        self.issuers.prepare(token).await;
    }

    /// Whether a token says that somebody else made it.
    pub(crate) fn is_foreign(&self, token: &str) -> bool {
        self.issuers.of(token).is_some()
    }

    fn shard(&self, token: &str) -> Option<&Mutex<Shard>> {
        // A token ends in its signature, whose characters are spread evenly.
        let last = token.bytes().next_back().unwrap_or(0);
        self.shards.get(usize::from(last) % SHARDS)
    }

    fn verify(&self, token: &str, now: i64) -> Result<(Caller, i64), TokenError> {
        if let Some(issuer) = self.issuers.of(token) {
            return issuer.caller(token, now, self.anon_role.as_ref());
        }
        let mut claims = self.keys.open(token).map_err(TokenError::Jwt)?;
        let until =
            jwt::check_claims(&claims, self.audience.as_deref(), now).map_err(TokenError::Jwt)?;
        jwt::check_issuer(&claims, &self.issuer_names).map_err(TokenError::Jwt)?;
        jwt::check_kind(&claims).map_err(TokenError::Jwt)?;
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
                read_only: false,
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

/// What verifying a token told.
#[derive(Clone)]
struct Known {
    caller: Caller,
    print: Fingerprint,
    until: i64,
}

struct Shard {
    capacity: usize,
    /// Tokens that have been verified, so nobody can choose them to collide.
    places: HashMap<Arc<str>, usize, foldhash::fast::RandomState>,
    slots: Vec<Slot>,
    hand: usize,
}

struct Slot {
    token: Arc<str>,
    known: Known,
    used: bool,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            places: HashMap::default(),
            slots: Vec::new(),
            hand: 0,
        }
    }

    fn get(&mut self, token: &str) -> Option<Known> {
        let slot = self.slots.get_mut(*self.places.get(token)?)?;
        slot.used = true;
        Some(slot.known.clone())
    }

    fn put(&mut self, token: &str, known: Known) {
        if self.capacity == 0 || self.places.contains_key(token) {
            return;
        }
        let token: Arc<str> = token.into();
        let new = Slot {
            token: Arc::clone(&token),
            known,
            used: false,
        };
        if self.slots.len() < self.capacity {
            self.places.insert(token, self.slots.len());
            self.slots.push(new);
            return;
        }
        let at = self.victim();
        if let Some(slot) = self.slots.get_mut(at) {
            self.places.remove(&slot.token);
            *slot = new;
            self.places.insert(token, at);
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

    fn known() -> Known {
        Known {
            caller: Caller::anonymous("anon"),
            print: [0; 32],
            until: 10,
        }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut shard = Shard::new(3);
        for n in 0..3 {
            shard.put(&format!("token {n}"), known());
        }
        assert!(shard.get("token 0").is_some());
        for n in 3..200 {
            shard.get("token 0");
            shard.put(&format!("token {n}"), known());
            assert!(shard.slots.len() == 3 && shard.places.len() == 3);
        }
        assert!(shard.get("token 0").is_some());
        assert!(shard.get("token 1").is_none());
    }

    #[test]
    fn no_capacity_means_no_memory() {
        let mut shard = Shard::new(0);
        shard.put("token", known());
        assert!(shard.get("token").is_none());
    }
}
