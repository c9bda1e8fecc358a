//! How fast one client address, and one key or token, may ask.
//!
//! Buckets are chosen by a keyed hash into a fixed number of places, so that
//! memory is bounded by construction: a million addresses cannot grow it.
//! Two clients share a bucket once in 65,536 pairs, and nobody can aim at a
//! neighbour's bucket without knowing this process's hash key.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::verifier::Fingerprint;
use crate::config::RateConfig;

/// One limit for many clients.
struct Limit {
    limiter: DefaultKeyedRateLimiter<u16>,
    hasher: RandomState,
    clock: DefaultClock,
}

/// The limits in force.
pub(crate) struct Rates {
    per_ip: Option<Limit>,
    per_key: Option<Limit>,
}

impl Rates {
    pub(crate) fn new(config: RateConfig) -> Self {
        Self {
            per_ip: Limit::new(config.per_ip, config.burst),
            per_key: Limit::new(config.per_key, config.burst),
        }
    }

    /// Seconds to wait, when this address has asked too often.
    pub(crate) fn check_ip(&self, ip: IpAddr) -> Option<u64> {
        self.per_ip.as_ref()?.check(&network(ip))
    }

    /// Seconds to wait, when this key or token has asked too often.
    pub(crate) fn check_key(&self, print: &Fingerprint) -> Option<u64> {
        self.per_key.as_ref()?.check(print)
    }
}

impl Limit {
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(rate);
        let quota = Quota::per_second(rate).allow_burst(burst);
        Some(Self {
            limiter: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
        })
    }

    fn check(&self, who: &impl Hash) -> Option<u64> {
        let bucket = u16::try_from(self.hasher.hash_one(who) & 0xFFFF).unwrap_or_default();
        let until = self.limiter.check_key(&bucket).err()?;
        let wait = until.wait_time_from(self.clock.now());
        Some(wait.as_secs() + 1)
    }
}

/// An address, or for IPv6 the network that one customer is usually given:
/// single addresses there are free to change.
fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => u128::from(u32::from(ip)),
            None => u128::from(ip) >> 64 << 64,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_burst_passes_and_the_next_waits() {
        let rates = Rates::new(RateConfig {
            per_ip: 1,
            per_key: 0,
            burst: 3,
        });
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!((0..3).all(|_| rates.check_ip(ip).is_none()));
        assert_eq!(rates.check_ip(ip), Some(1));
        assert_eq!(rates.check_key(&[0; 32]), None);
    }

    #[test]
    fn memory_is_bounded_and_one_network_is_one_client() {
        let rates = Rates::new(RateConfig {
            per_ip: 1,
            per_key: 0,
            burst: 1,
        });
        for n in 0..200_000_u128 {
            rates.check_ip(IpAddr::V6(Ipv6Addr::from(n << 64)));
        }
        assert!(
            rates
                .per_ip
                .as_ref()
                .is_some_and(|limit| limit.limiter.len() <= 65_536)
        );
        assert_eq!(
            network(Ipv6Addr::from(1_u128).into()),
            network(Ipv6Addr::from(2_u128).into())
        );
    }
}
