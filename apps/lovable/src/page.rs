//! The builder page: built files that are part of the program, under a policy
//! that lets a browser run nothing else.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::error::AppError;
use crate::room::Lovable;

const INDEX: &[u8] = include_bytes!("../page/dist/index.html");

/// Names stay the same from build to build, so browsers ask each time.
const ASSETS: [(&str, &str, &[u8]); 3] = [
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../page/dist/assets/app.js"),
    ),
    (
        "app.css",
        "text/css; charset=utf-8",
        include_bytes!("../page/dist/assets/app.css"),
    ),
    (
        "boot.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../page/dist/assets/boot.js"),
    ),
];

pub(crate) async fn index(State(app): State<Arc<Lovable>>) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; frame-src {}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        frames(&app.about.preview_origins)
    );
    let policy =
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, policy),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, INDEX).into_response()
}

fn frames(origins: &str) -> &str {
    if origins.is_empty() {
        "'none'"
    } else {
        origins
    }
}

pub(crate) async fn asset(Path(file): Path<String>) -> Result<Response, AppError> {
    let found = ASSETS.iter().find(|(name, _, _)| *name == file);
    let (_, kind, bytes) = found.ok_or_else(|| AppError::not_found("file"))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, *bytes).into_response())
}
