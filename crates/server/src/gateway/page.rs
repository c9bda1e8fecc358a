//! What the gateway answers by itself, before any room.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::Gateway;
use super::reply::{self, Dialect, Trouble};

#[derive(Clone, Copy)]
pub(super) enum Page {
    Index,
    Health,
    Ready,
    Metrics,
    Jwks,
}

impl Page {
    pub(super) fn of(path: &str, method: &Method) -> Option<Self> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        Some(match path {
            "/" => Self::Index,
            "/health" => Self::Health,
            "/health/ready" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/auth/v1/.well-known/jwks.json" => Self::Jwks,
            _ => return None,
        })
    }
}

impl Gateway {
    pub(super) async fn page(&self, page: Page) -> Response<Body> {
        match page {
            Page::Index => reply::with_json(StatusCode::OK, &self.index()),
            Page::Health => reply::with_json(StatusCode::OK, &json!({"status": "ok"})),
            Page::Ready => {
                let report = self.health.ask().await;
                let status = if report.ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                reply::with_json(status, &report.body())
            }
            Page::Metrics if self.limits.serve_metrics => with_type(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                None,
                self.metrics.render(),
            ),
            Page::Metrics => Trouble::NoRoute.response(Dialect::Gateway),
            Page::Jwks => with_type(
                "application/json",
                Some("public, max-age=600"),
                self.jwks.clone(),
            ),
        }
    }

    fn index(&self) -> serde_json::Value {
        let rooms: serde_json::Map<_, _> = self
            .rooms
            .iter()
            .map(|room| (room.name.to_owned(), room.prefix.into()))
            .collect();
        json!({
            "name": "ferrobase",
            "version": env!("CARGO_PKG_VERSION"),
            "rooms": rooms,
            "health": "/health",
            "ready": "/health/ready",
        })
    }
}

fn with_type(kind: &'static str, cache: Option<&'static str>, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(cache) = cache {
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    }
    response
}
