//! One thread with a runtime of its own for each core. A connection of a
//! client lives on one lane, and so do the database connections that its
//! requests share with those of its neighbours: no request waits for another
//! thread to be woken. A work-stealing runtime cost about a tenth more processor
//! time for a short request (`benches/results`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kernel::Tasks;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Lanes at most: beyond it the database is what everybody waits for.
const LANES_MAX: usize = 16;

/// The lanes of a server. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Lanes(Arc<Inner>);

struct Inner {
    lanes: Vec<Lane>,
    stop: CancellationToken,
}

struct Lane {
    runtime: Handle,
    /// Connections on it now.
    load: Arc<AtomicUsize>,
}

impl Lanes {
    /// As many lanes as there are cores.
    pub fn start() -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let stop = CancellationToken::new();
        let lanes = (0..cores.min(LANES_MAX))
            .map(|index| Lane::start(index, stop.clone()))
            .collect::<std::io::Result<_>>()?;
        Ok(Self(Arc::new(Inner { lanes, stop })))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lanes.len()
    }

    /// Runs `work` on the lane with the fewest connections.
    pub fn run<F, W>(&self, tasks: &Tasks, work: W)
    where
        F: Future<Output = ()> + Send + 'static,
        W: FnOnce() -> F + Send + 'static,
    {
        let least = self
            .0
            .lanes
            .iter()
            .min_by_key(|lane| lane.load.load(Ordering::Relaxed));
        let Some(lane) = least else { return };
        let load = Arc::clone(&lane.load);
        load.fetch_add(1, Ordering::Relaxed);
        let counted = async move {
            // Called on the lane: what it registers belongs to that runtime.
            work().await;
            load.fetch_sub(1, Ordering::Relaxed);
        };
        tasks.spawn_on("connection", counted, &lane.runtime);
    }
}

impl Lane {
    fn start(index: usize, stop: CancellationToken) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name(format!("lane-{index}"))
            .spawn(move || {
                kernel::lane::enter(index);
                runtime.block_on(stop.cancelled());
            })?;
        Ok(Self {
            runtime: handle,
            load: Arc::default(),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn connections_spread_over_all_lanes() {
        let lanes = Lanes::start().expect("threads can be started");
        let tasks = Tasks::new();
        let (seen, mut lanes_seen) = mpsc::unbounded_channel();
        let gate = CancellationToken::new();
        for _ in 0..lanes.count() {
            let (seen, gate) = (seen.clone(), gate.clone());
            lanes.run(&tasks, move || async move {
                let _ = seen.send(kernel::lane::current());
                gate.cancelled().await;
            });
        }
        let mut distinct = HashSet::new();
        while distinct.len() < lanes.count() {
            distinct.extend(lanes_seen.recv().await);
        }
        gate.cancel();
        tasks.stop().await;
    }
}
