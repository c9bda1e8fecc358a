//! The room's settings.

use std::time::Duration;

/// How the room behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a claim holds without a heartbeat, unless the worker says.
    pub lease: Duration,
    /// How often waiting claims and duties look by themselves.
    pub poll: Duration,
    /// The longest that a request may wait for jobs or directives: less than
    /// the gateway gives a request.
    pub wait_max: Duration,
    /// How long a finished tree is kept, unless its type says otherwise.
    pub keep: Duration,
}

/// As workers are told: a request that waits no longer than this passes any
/// usual proxy.
pub const WAIT_MAX: Duration = Duration::from_secs(25);

/// A second: what a lost message may cost.
pub(crate) const POLL: Duration = Duration::from_secs(1);

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            poll: POLL,
            wait_max: WAIT_MAX,
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
