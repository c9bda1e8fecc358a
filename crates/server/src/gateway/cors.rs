//! Which pages of other origins may call, as PostgREST and Supabase's gateway
//! answer it: everybody by default, or a list of origins, with credentials.

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN,
};
use http::{Method, Request, Response};

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, \
     Transfer-Encoding, Range-Unit, X-Request-Id, Retry-After, Idempotency-Replayed, \
     X-Total-Count, Link, X-Supabase-Api-Version",
);
const EVERYBODY: HeaderValue = HeaderValue::from_static("*");
/// Allowed by browsers without asking, named because PostgREST names them.
const SIMPLE_HEADERS: &str = "Accept, Accept-Language, Content-Language";
const ONE_DAY: HeaderValue = HeaderValue::from_static("86400");

/// The origins that may call; empty means all.
pub(crate) struct Cors {
    pub(crate) origins: Vec<String>,
}

impl Cors {
    /// The answer to a browser's question before the real request. Other
    /// OPTIONS requests are for the rooms.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let headers = request.headers();
        if request.method() != Method::OPTIONS
            || !headers.contains_key(ORIGIN)
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = Response::new(Body::empty());
        let out = response.headers_mut();
        if self.allow(headers.get(ORIGIN), out) {
            out.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers));
            out.insert(ACCESS_CONTROL_MAX_AGE, ONE_DAY);
        }
        Some(response)
    }

    /// Marks a real answer as readable for the page that asked.
    pub(crate) fn mark(&self, origin: Option<&HeaderValue>, out: &mut HeaderMap) {
        if self.allow(origin, out)
            && origin.is_some()
            && !out.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS)
        {
            out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    fn allow(&self, origin: Option<&HeaderValue>, out: &mut HeaderMap) -> bool {
        if self.origins.is_empty() {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, EVERYBODY);
            return true;
        }
        let Some(origin) = origin.filter(|origin| {
            self.origins
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes())
        }) else {
            return false;
        };
        out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        out.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        true
    }
}

fn allowed_headers(headers: &HeaderMap) -> HeaderValue {
    let asked = headers
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|asked| asked.to_str().ok());
    let mut text = "Authorization".to_owned();
    for name in asked
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        text.push_str(", ");
        text.push_str(name);
    }
    text.push_str(", ");
    text.push_str(SIMPLE_HEADERS);
    HeaderValue::try_from(text).unwrap_or(EVERYBODY)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ask(origins: &[&str], origin: &str) -> Response<Body> {
        let cors = Cors {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        };
        let request = Request::builder()
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "Foo,Bar");
        cors.preflight(&request.body(()).unwrap()).unwrap()
    }

    #[test]
    fn a_preflight_is_answered_for_everybody() {
        let response = ask(&[], "http://example.com");
        let headers = response.headers();
        assert_eq!(response.status(), 200);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], METHODS);
        assert_eq!(
            headers[ACCESS_CONTROL_ALLOW_HEADERS],
            "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language"
        );
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "86400");
    }

    #[test]
    fn a_list_lets_in_only_its_own() {
        let allowed = ask(
            &["http://a.example", "http://b.example"],
            "http://b.example",
        );
        assert_eq!(
            allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
            "http://b.example"
        );
        assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        let other = ask(&["http://a.example"], "http://evil.example");
        assert!(other.headers().is_empty());
    }
}
