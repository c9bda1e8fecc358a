//! The consent page for projects that have none: no script, nothing from
//! elsewhere, and one form that asks for the password itself.
//!
//! The room has no cookie that signs anybody in, so the password is the
//! consent: nobody else's page can send it. What could be sent is the
//! sender's own password, to have the victim use the sender's account; hence
//! a mark that only this page gives to this browser.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use url::Url;

use super::address;
use crate::model::{Authorization, Client, scope_list};
use crate::room::Auth;

/// Remembers which browser was given the form.
pub(crate) const COOKIE: &str = "ferrobase-consent";
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;\
color:#1c1c1c;background:#fff}h1{font-size:1.25rem}label{display:block;margin:.75rem 0}\
input{display:block;width:100%;box-sizing:border-box;padding:.5rem;font:inherit}\
button{font:inherit;padding:.5rem 1rem;margin:.5rem .5rem 0 0}.wrong{color:#a40000}\
.host{font-weight:600;overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}\
.wrong{color:#ff8a80}}";

/// What the page says beside the request.
pub(crate) struct Words<'a> {
    pub(crate) mark: &'a str,
    pub(crate) email: &'a str,
    pub(crate) wrong: Option<&'a str>,
}

impl Auth {
    /// The page's own address, as browsers see it.
    pub(crate) fn consent_page(&self) -> String {
        let base = self.config.external_url.as_str().trim_end_matches('/');
        format!("{base}/oauth/consent")
    }

    /// The form for a request.
    pub(crate) fn consent_form(
        &self,
        asked: &Authorization,
        client: &Client,
        words: &Words<'_>,
        status: StatusCode,
    ) -> Response {
        let name = if client.client_name.is_empty() {
            "An application without a name"
        } else {
            &client.client_name
        };
        let wrong = words.wrong.map_or_else(String::new, |text| {
            format!("<p class=\"wrong\" role=\"alert\">{}</p>", escaped(text))
        });
        let scopes: Vec<_> = scope_list(&asked.scope).map(meaning).collect();
        let scopes = scopes.join("</li><li>");
        let host = Url::parse(&asked.redirect_uri).ok();
        let host = host.map_or_else(String::new, |url| match url.host_str() {
            Some(host) if matches!(url.scheme(), "http" | "https") => host.to_owned(),
            _ => format!("the application for {}: links", url.scheme()),
        });
        let body = format!(
            "<h1>{name} wants to use your account</h1>\
             <p>Afterwards you go on to <span class=\"host\">{host}</span>. It will be able to act as you here, and to:</p>\
             <ul><li>{scopes}</li></ul>{wrong}\
             <form method=\"post\" action=\"{action}\">\
             <input type=\"hidden\" name=\"authorization_id\" value=\"{id}\">\
             <input type=\"hidden\" name=\"mark\" value=\"{mark}\">\
             <label>E-mail<input name=\"email\" type=\"email\" autocomplete=\"username\" value=\"{email}\" required></label>\
             <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\
             <button name=\"action\" value=\"approve\">Sign in and allow</button>\
             <button name=\"action\" value=\"deny\" formnovalidate>Deny</button></form>",
            name = escaped(name),
            host = escaped(&host),
            action = escaped(&self.consent_page()),
            id = escaped(&asked.authorization_id),
            mark = escaped(words.mark),
            email = escaped(words.email),
        );
        let targets = format!("'self' {}", address::source(&asked.redirect_uri));
        let mut response = html(status, "Allow access?", &body, &targets);
        if let Ok(cookie) = HeaderValue::try_from(self.mark_cookie(words.mark)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    fn mark_cookie(&self, mark: &str) -> String {
        let url = &self.config.external_url;
        let secure = if url.scheme() == "https" {
            "; Secure"
        } else {
            ""
        };
        let path = format!("{}/oauth/consent", url.path().trim_end_matches('/'));
        format!("{COOKIE}={mark}; Path={path}; Max-Age=600; HttpOnly; SameSite=Strict{secure}")
    }
}

/// A page that only says something.
pub(crate) fn notice(status: StatusCode, title: &str, text: &str) -> Response {
    let body = format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text));
    html(status, title, &body, "'none'")
}

fn html(status: StatusCode, title: &str, body: &str, form_targets: &str) -> Response {
    use base64::Engine as _;
    use sha2::Digest as _;
    let style = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_targets}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head>\
         <body>{body}</body></html>",
        escaped(title)
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With less, browsers would send our own form with `Origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn meaning(scope: &str) -> &'static str {
    match scope {
        "openid" => "know that it is you",
        "profile" => "see your name and picture",
        "email" => "see your e-mail address",
        "phone" => "see your phone number",
        _ => "stay signed in",
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
