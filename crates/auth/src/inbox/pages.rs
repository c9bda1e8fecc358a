//! What a browser shows: a list, and one mail in a sandbox.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::api::pick;
use super::store::{Message, Page};
use super::{Failure, Inbox, POLICY, not_found, search};

/// As many as there ever are.
const SHOWN: u32 = 500;

/// Pages of ours: one inline style, mails in frames, no scripts at all.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A mail: its pictures and styles, no scripts, no forms, an origin of its
/// own. Links open beside it.
const MAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; \
    default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline'; \
    font-src https:; form-action 'none'; frame-ancestors 'self'";

const STYLE: &str = "<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;\
    max-width:60rem;margin:2rem auto;padding:0 1rem}table{width:100%;border-collapse:collapse}\
    td{padding:.4rem .6rem .4rem 0;border-top:1px solid #8884;vertical-align:top}\
    .new td{font-weight:600}iframe{width:100%;height:70vh;border:1px solid #8884;background:#fff}\
    time,.dim{opacity:.65;font-size:.9em}</style>";

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    query: String,
}

pub(super) async fn list(
    State(inbox): State<Arc<Inbox>>,
    asked: Query<Asked>,
) -> Result<Response, Failure> {
    let page = Page {
        start: 0,
        limit: SHOWN,
    };
    let terms = search::parse(&asked.query);
    let (stats, messages) = inbox.store.find(&terms, page).await?;
    let mut rows = String::new();
    for message in &messages {
        let class = if message.seen { "" } else { " class=\"new\"" };
        // Writing to a String cannot fail.
        let _ = write!(
            rows,
            "<tr{class}><td>{}</td><td><a href=\"/view/{}\">{}</a></td><td><time>{}</time></td></tr>",
            escaped(&message.recipient),
            message.id,
            escaped(&message.subject),
            escaped(&message.created),
        );
    }
    if messages.is_empty() {
        rows.push_str("<tr><td class=\"dim\">Nothing has been mailed yet.</td></tr>");
    }
    Ok(page_of(
        "Inbox",
        &format!(
            "<h1>Inbox</h1><form><input name=\"query\" value=\"{}\" placeholder=\"to:someone@example.com\" \
             aria-label=\"Search\"> <button>Search</button></form>\
             <p class=\"dim\">{} mails, {} unread. They stay here because no SMTP server is configured.</p>\
             <table>{rows}</table>",
            escaped(&asked.query),
            stats.total,
            stats.unread,
        ),
    ))
}

/// `{id}`, `{id}.html`, `{id}.txt`, with `latest` for an id.
pub(super) async fn view(
    State(inbox): State<Arc<Inbox>>,
    Path(name): Path<String>,
    asked: Query<Asked>,
) -> Result<Response, Failure> {
    let (id, form) = name.split_once('.').unwrap_or((&name, ""));
    let Some(message) = pick(&inbox, id, &asked.query).await? else {
        return Ok(not_found());
    };
    match form {
        "" if id == "latest" => {
            let address = format!("/view/{}", message.id);
            Ok(Redirect::temporary(&address).into_response())
        }
        "" => {
            inbox.store.mark(Some(&[message.id]), true).await?;
            Ok(around(&message))
        }
        "html" => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (POLICY, MAIL_POLICY),
            ];
            let body = format!("<base target=\"_blank\">{}", message.html);
            Ok((headers, body).into_response())
        }
        "txt" => {
            let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            Ok((headers, message.plain).into_response())
        }
        _ => Ok(not_found()),
    }
}

fn around(message: &Message) -> Response {
    let id = message.id;
    let subject = escaped(&message.subject);
    page_of(
        &subject,
        &format!(
            "<p><a href=\"/\">Inbox</a></p><h1>{subject}</h1>\
             <p>From {} &lt;{}&gt; to {} <time>{}</time></p>\
             <iframe sandbox=\"allow-popups allow-popups-to-escape-sandbox\" title=\"The mail\" \
             src=\"/view/{id}.html\"></iframe>\
             <p><a href=\"/view/{id}.txt\">Text</a> <a href=\"/api/v1/message/{id}/raw\">Source</a></p>",
            escaped(&message.sender_name),
            escaped(&message.sender),
            escaped(&message.recipient),
            escaped(&message.created),
        ),
    )
}

/// Both are markup already.
fn page_of(title: &str, body: &str) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (POLICY, PAGE_POLICY),
    ];
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>{STYLE}</head>\
         <body>{body}</body></html>"
    );
    (headers, page).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
