//! Numbers for Prometheus: requests by room and class of status, their time,
//! requests and connections in progress, and gauges that others provide.
//!
//! Series are made at start, so counting a request touches atomics only and no
//! client can invent a label.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds; from one local read to one slow report.
const LATENCY_BUCKETS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The gateway's own answers are counted under this name.
const OWN: &str = "gateway";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    room: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RoomLabel {
    room: &'static str,
}

/// All series.
pub struct Metrics {
    /// A mutex because rendering and registering are rare and short.
    registry: Mutex<Registry>,
    rooms: Vec<RoomSeries>,
    in_flight: Gauge<i64, AtomicI64>,
    connections: Gauge<i64, AtomicI64>,
}

struct RoomSeries {
    requests: [Counter; CLASSES.len()],
    latency: Histogram,
}

/// Counts something in progress until dropped.
pub struct InProgress(Gauge<i64, AtomicI64>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Series for the gateway itself (place 0) and for each room (1, 2, …).
    #[must_use]
    pub fn new(rooms: &[&'static str]) -> Self {
        let mut registry = Registry::with_prefix("ferrobase");
        let requests = Family::<Labels, Counter>::default();
        let latency = Family::<RoomLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(LATENCY_BUCKETS)
        });
        let in_flight = Gauge::default();
        let connections = Gauge::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to answer a request",
            latency.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests being answered",
            in_flight.clone(),
        );
        registry.register("http_connections", "Open connections", connections.clone());
        let series = |room: &'static str| RoomSeries {
            requests: CLASSES.map(|class| requests.get_or_create(&Labels { room, class }).clone()),
            latency: latency.get_or_create(&RoomLabel { room }).clone(),
        };
        let rooms = std::iter::once(OWN)
            .chain(rooms.iter().copied())
            .map(series)
            .collect();
        Self {
            registry: Mutex::new(registry),
            rooms,
            in_flight,
            connections,
        }
    }

    /// Adds a gauge whose value is asked for at each scrape.
    pub fn add_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.registry().register_collector(Box::new(Asked {
            name,
            help,
            read: Box::new(read),
        }));
    }

    pub(crate) fn enter(&self) -> InProgress {
        self.in_flight.inc();
        InProgress(self.in_flight.clone())
    }

    pub(crate) fn connect(&self) -> InProgress {
        self.connections.inc();
        InProgress(self.connections.clone())
    }

    pub(crate) fn observe(&self, place: usize, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(series) = self.rooms.get(place) {
            if let Some(counter) = series.requests.get(class) {
                counter.inc();
            }
            series.latency.observe(elapsed.as_secs_f64());
        }
    }

    /// The page at `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail; a half-written page says so itself.
        let _ = text::encode(&mut page, &self.registry());
        page
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Asked {
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Asked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new((self.read)());
        let metric = encoder.encode_descriptor(self.name, self.help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_room_and_class() {
        let metrics = Metrics::new(&["rest"]);
        metrics.add_gauge("pool_connections", "Database connections", || 4.0);
        metrics.observe(1, StatusCode::NOT_FOUND, Duration::from_millis(2));
        let busy = metrics.enter();
        let page = metrics.render();
        assert!(
            page.contains("ferrobase_http_requests_total{room=\"rest\",class=\"4xx\"} 1"),
            "{page}"
        );
        assert!(page.contains("ferrobase_http_request_duration_seconds_count{room=\"rest\"} 1"));
        assert!(page.contains("ferrobase_http_requests_in_flight 1"));
        assert!(page.contains("ferrobase_pool_connections 4.0"));
        drop(busy);
        assert!(
            metrics
                .render()
                .contains("ferrobase_http_requests_in_flight 0")
        );
    }
}
