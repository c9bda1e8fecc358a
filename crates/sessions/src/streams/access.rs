//! Who may watch: the policies say so, asked as the caller when watching begins
//! and from time to time. How many may watch: places, counted here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Caller, Clock};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::{Result, StreamError};
use super::store::Store;

/// Policies may change and rows may change hands: asked again this often.
pub const ASK_EVERY: Duration = Duration::from_secs(60);
/// A connection ends after so long, to be made anew: keys may have been revoked,
/// which only the gateway knows.
const LIFE_MAX: Duration = Duration::from_secs(30 * 60);
/// A question that fails is asked again this soon, so often.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const FAILURES_MAX: u32 = 6;

/// Watchers of one node: 300 MiB. One who takes nothing costs ten times as much
/// as others, since its connection buffers some pages.
pub(super) const WATCHERS_MAX: usize = 10_000;
/// Watchers of one caller: one page in a hundred tabs, not one program taking
/// every place.
pub(super) const WATCHERS_PER_CALLER: usize = 1_000;

/// PostgREST's roles have no rights in the schema at all.
const NO_RIGHT: &str = "42501";

/// Claims that concern us.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
}

fn claims(caller: &Caller) -> Claims {
    serde_json::from_str(&caller.claims).unwrap_or_default()
}

/// Whether the caller is the project itself.
pub(super) fn is_service(caller: &Caller) -> bool {
    &*caller.role == "service_role"
}

/// Whose streams the caller may write to; none for any.
pub(super) fn owner(caller: &Caller) -> Result<Option<Arc<str>>> {
    if is_service(caller) {
        return Ok(None);
    }
    match claims(caller).sub {
        Some(sub) if caller.authenticated => Ok(Some(sub.into())),
        _ => Err(StreamError::Unauthorized),
    }
}

/// How far the stream is, if the caller may read it.
pub(super) async fn look(store: &Store, caller: &Caller, stream: Uuid) -> Result<i64> {
    match store.look(caller, stream).await {
        Ok(Some(last_seq)) => Ok(last_seq),
        Ok(None) => Err(StreamError::NotFound),
        Err(error) => Err(refused(caller, error)),
    }
}

/// A failed question: without rights to ask it, nothing is there.
pub(super) fn refused(caller: &Caller, error: pg::Error) -> StreamError {
    match error.sqlstate() {
        Some(NO_RIGHT) if caller.authenticated => StreamError::NotFound,
        Some(NO_RIGHT) => StreamError::Unauthorized,
        _ => error.into(),
    }
}

/// Why watching ends before the watcher wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The stream is gone, or not the caller's any more.
    NotFound,
    /// The token is past its time.
    Expired,
    /// The connection is old; a new one may go on.
    Renew,
    /// The server goes away.
    Stopping,
    /// The database does not answer.
    Unavailable,
}

impl End {
    /// The machine's word for it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Expired => "token_expired",
            Self::Renew => "renew",
            Self::Stopping => "restarting",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether to come back with the same token.
    pub(super) fn come_back(self) -> bool {
        matches!(self, Self::Renew | Self::Stopping | Self::Unavailable)
    }
}

/// A caller's leave to watch a stream.
pub(super) struct Pass {
    caller: Caller,
    stream: Uuid,
    store: Store,
    ask_every: Duration,
    ask_at: Instant,
    failures: u32,
    expires_at: Option<Instant>,
    ends_at: Instant,
}

impl Pass {
    /// For one who has just been let in.
    pub(super) fn new(
        caller: Caller,
        stream: Uuid,
        store: Store,
        clock: &Clock,
        ask_every: Duration,
    ) -> Self {
        let now = Instant::now();
        let left = claims(&caller).exp.map(|exp| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of this century are exact"
            )]
            let left = exp - clock.now().as_millisecond() as f64 / 1000.0;
            // Beyond a connection's life it does not matter.
            Duration::from_secs_f64(left.clamp(0.0, LIFE_MAX.as_secs_f64() * 2.0))
        });
        Self {
            caller,
            stream,
            store,
            ask_every,
            ask_at: now + ask_every,
            failures: 0,
            expires_at: left.map(|left| now + left),
            ends_at: now + LIFE_MAX,
        }
    }

    /// When it ends, and why. May be dropped and asked for again.
    pub(super) async fn end(&mut self) -> End {
        loop {
            let next = self.ask_at.min(self.ends_at);
            let next = self.expires_at.map_or(next, |at| at.min(next));
            tokio::time::sleep_until(next).await;
            let now = Instant::now();
            if self.expires_at.is_some_and(|at| at <= now) {
                return End::Expired;
            }
            if self.ends_at <= now {
                return End::Renew;
            }
            match look(&self.store, &self.caller, self.stream).await {
                Ok(_) => {
                    self.failures = 0;
                    self.ask_at = Instant::now() + self.ask_every;
                }
                Err(StreamError::Database(_)) if self.failures < FAILURES_MAX => {
                    self.failures += 1;
                    self.ask_at = Instant::now() + ASK_AGAIN;
                }
                Err(StreamError::Database(_)) => return End::Unavailable,
                Err(_) => return End::NotFound,
            }
        }
    }
}

/// Who watches here, by caller.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<Arc<str>, usize>>);

/// One watcher's place.
pub(super) struct Place {
    places: Arc<Places>,
    who: Arc<str>,
}

impl Places {
    /// A place for this caller, if there is one.
    pub(super) fn take(self: &Arc<Self>, caller: &Caller) -> Result<Place> {
        let who: Arc<str> = match claims(caller).sub {
            Some(sub) => sub.into(),
            None => Arc::clone(&caller.role),
        };
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= WATCHERS_MAX {
            return Err(StreamError::TooMany {
                message: "too many watch here",
                node: true,
            });
        }
        let own = taken.entry(Arc::clone(&who)).or_default();
        if *own >= WATCHERS_PER_CALLER && !is_service(caller) {
            return Err(StreamError::TooMany {
                message: "you watch too many streams at once",
                node: false,
            });
        }
        *own += 1;
        drop(taken);
        let places = Arc::clone(self);
        Ok(Place { places, who })
    }

    /// How many watch.
    pub(super) fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, usize>> {
        // Consistent after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_every_place() {
        let places = Arc::new(Places::default());
        let one = Caller {
            authenticated: true,
            ..Caller::anonymous("authenticated")
        };
        let mut taken: Vec<_> = (0..WATCHERS_PER_CALLER)
            .map(|_| places.take(&one))
            .collect();
        assert!(taken.iter().all(std::result::Result::is_ok));
        let refused = places.take(&one).err().map(|error| error.status().as_u16());
        assert_eq!(refused, Some(429));
        assert!(places.take(&Caller::anonymous("other")).is_ok());
        taken.pop();
        assert!(places.take(&one).is_ok());
        drop(taken);
        assert_eq!(places.taken(), 0);
    }
}
