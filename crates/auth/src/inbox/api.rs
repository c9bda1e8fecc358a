//! Mailpit's JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, body::Bytes};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::store::{Message, Page, Stats};
use super::{Failure, Inbox, not_found, search};
use crate::mail::{Outgoing, compose};

/// Mailpit's default, and as many as there ever are.
const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 500;
const SNIPPET_CHARS: usize = 250;

type Inboxed = State<Arc<Inbox>>;

pub(super) fn routes() -> Router<Arc<Inbox>> {
    Router::new()
        .route("/messages", get(list).put(mark).delete(remove))
        .route("/search", get(find).delete(remove_found))
        .route("/message/{id}", get(show))
        .route("/message/{id}/headers", get(headers))
        .route("/message/{id}/raw", get(raw))
        .route("/info", get(info))
        .route("/tags", get(|| async { json_of(&json!([])) }))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    query: String,
    start: Option<u32>,
    limit: Option<u32>,
}

impl Asked {
    fn page(&self) -> Page {
        Page {
            start: self.start.unwrap_or(0).min(LIMIT_MAX),
            // Mailpit takes nonsense for the default as well.
            limit: self
                .limit
                .filter(|n| *n > 0)
                .unwrap_or(LIMIT)
                .min(LIMIT_MAX),
        }
    }
}

/// The body of a change. An empty one is about all messages.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Change {
    read: bool,
    #[serde(rename = "IDs")]
    ids: Vec<Uuid>,
    search: String,
}

impl Change {
    fn read(body: &Bytes) -> Result<Self, Box<Response>> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| {
            let told = format!("Error: {error}");
            Box::new((StatusCode::BAD_REQUEST, told).into_response())
        })
    }
}

async fn list(State(inbox): Inboxed, asked: Query<Asked>) -> Result<Response, Failure> {
    let (stats, messages) = inbox.store.find(&[], asked.page()).await?;
    Ok(listed(stats, stats, asked.page(), &messages))
}

async fn find(State(inbox): Inboxed, asked: Query<Asked>) -> Result<Response, Failure> {
    if asked.query.trim().is_empty() {
        let told = "Error: no search query";
        return Ok((StatusCode::BAD_REQUEST, told).into_response());
    }
    let terms = search::parse(&asked.query);
    let (matching, messages) = inbox.store.find(&terms, asked.page()).await?;
    let stats = inbox.store.stats().await?;
    Ok(listed(stats, matching, asked.page(), &messages))
}

async fn mark(State(inbox): Inboxed, body: Bytes) -> Result<Response, Failure> {
    let change = match Change::read(&body) {
        Ok(change) => change,
        Err(answer) => return Ok(*answer),
    };
    let ids = matching(&inbox, &change).await?;
    inbox.store.mark(ids.as_deref(), change.read).await?;
    Ok(done())
}

async fn remove(State(inbox): Inboxed, body: Bytes) -> Result<Response, Failure> {
    let change = match Change::read(&body) {
        Ok(change) => change,
        Err(answer) => return Ok(*answer),
    };
    let ids = matching(&inbox, &change).await?;
    inbox.store.remove(ids.as_deref()).await?;
    Ok(done())
}

async fn remove_found(State(inbox): Inboxed, asked: Query<Asked>) -> Result<Response, Failure> {
    if asked.query.trim().is_empty() {
        let told = "Error: no search query";
        return Ok((StatusCode::BAD_REQUEST, told).into_response());
    }
    let found = found(&inbox, &asked.query).await?;
    inbox.store.remove(Some(&found)).await?;
    Ok(done())
}

async fn matching(inbox: &Inbox, change: &Change) -> Result<Option<Vec<Uuid>>, Failure> {
    if !change.search.is_empty() {
        return found(inbox, &change.search).await.map(Some);
    }
    Ok(Some(change.ids.clone()).filter(|ids| !ids.is_empty()))
}

async fn found(inbox: &Inbox, query: &str) -> Result<Vec<Uuid>, Failure> {
    let all = Page {
        start: 0,
        limit: LIMIT_MAX,
    };
    let (_, messages) = inbox.store.find(&search::parse(query), all).await?;
    Ok(messages.iter().map(|message| message.id).collect())
}

/// By id, or `latest`, of those that match `query`.
pub(super) async fn pick(inbox: &Inbox, id: &str, query: &str) -> Result<Option<Message>, Failure> {
    if id == "latest" {
        let newest = Page { start: 0, limit: 1 };
        let (_, mut messages) = inbox.store.find(&search::parse(query), newest).await?;
        return Ok(messages.pop());
    }
    match id.parse() {
        Ok(id) => Ok(inbox.store.one(id).await?),
        Err(_) => Ok(None),
    }
}

async fn show(
    State(inbox): Inboxed,
    Path(id): Path<String>,
    asked: Query<Asked>,
) -> Result<Response, Failure> {
    let Some(message) = pick(&inbox, &id, &asked.query).await? else {
        return Ok(not_found());
    };
    inbox.store.mark(Some(&[message.id]), true).await?;
    Ok(json_of(&whole(&message)))
}

async fn headers(
    State(inbox): Inboxed,
    Path(id): Path<String>,
    asked: Query<Asked>,
) -> Result<Response, Failure> {
    let Some(message) = pick(&inbox, &id, &asked.query).await? else {
        return Ok(not_found());
    };
    let source = source(&message);
    let head = source.split("\r\n\r\n").next().unwrap_or_default();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // A line that begins with a blank continues the one before.
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    for line in unfolded.lines() {
        if let Some((name, value)) = line.split_once(": ") {
            headers.entry(name).or_default().push(value.to_owned());
        }
    }
    Ok(json_of(&headers))
}

async fn raw(
    State(inbox): Inboxed,
    Path(id): Path<String>,
    asked: Query<Asked>,
) -> Result<Response, Failure> {
    let Some(message) = pick(&inbox, &id, &asked.query).await? else {
        return Ok(not_found());
    };
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, source(&message)).into_response())
}

async fn info(State(inbox): Inboxed) -> Result<Response, Failure> {
    let stats = inbox.store.stats().await?;
    Ok(json_of(&json!({
        "Version": concat!("ferrobase ", env!("CARGO_PKG_VERSION")),
        "Messages": stats.total,
        "Unread": stats.unread,
        "Tags": {},
    })))
}

fn listed(stats: Stats, matching: Stats, page: Page, messages: &[Message]) -> Response {
    let summaries: Vec<Value> = messages.iter().map(summary).collect();
    json_of(&json!({
        "total": stats.total,
        "unread": stats.unread,
        "count": summaries.len(),
        "messages_count": matching.total,
        "messages_unread": matching.unread,
        "start": page.start,
        "tags": [],
        "messages": summaries,
    }))
}

fn summary(message: &Message) -> Value {
    let words: Vec<&str> = message.plain.split_whitespace().collect();
    let snippet: String = words.join(" ").chars().take(SNIPPET_CHARS).collect();
    json!({
        "ID": message.id,
        "MessageID": message_id(message),
        "Read": message.seen,
        "From": address(&message.sender_name, &message.sender),
        "To": [address("", &message.recipient)],
        "Cc": [],
        "Bcc": [],
        "ReplyTo": [],
        "Subject": message.subject,
        "Created": message.created,
        "Username": "",
        "Tags": [],
        "Size": source(message).len(),
        "Attachments": 0,
        "Snippet": snippet,
    })
}

fn whole(message: &Message) -> Value {
    json!({
        "ID": message.id,
        "MessageID": message_id(message),
        "From": address(&message.sender_name, &message.sender),
        "To": [address("", &message.recipient)],
        "Cc": [],
        "Bcc": [],
        "ReplyTo": [],
        "ReturnPath": message.sender,
        "Subject": message.subject,
        "ListUnsubscribe": {"Header": "", "Links": [], "Errors": "", "HeaderPost": ""},
        "Date": message.created,
        "Tags": [],
        "Username": "",
        "Text": message.plain,
        "HTML": message.html,
        "Size": source(message).len(),
        "Inline": [],
        "Attachments": [],
    })
}

fn address(name: &str, address: &str) -> Value {
    json!({ "Name": name, "Address": address })
}

fn message_id(message: &Message) -> String {
    let domain = message.sender.rsplit('@').next().unwrap_or_default();
    format!("{}@{domain}", message.id)
}

/// The message as it would have travelled.
fn source(message: &Message) -> String {
    let outgoing = Outgoing {
        id: message.id.to_string(),
        to: message.recipient.clone(),
        subject: message.subject.clone(),
        html: message.html.clone(),
        plain: message.plain.clone(),
        created: message.created_second,
    };
    let name = Some(message.sender_name.clone()).filter(|name| !name.is_empty());
    let composed = message
        .sender
        .parse()
        .map_err(|_| "the sender is no address".to_owned())
        .and_then(|sender| compose(&Mailbox::new(name, sender), &outgoing));
    match composed {
        Ok(message) => String::from_utf8_lossy(&message.formatted()).into_owned(),
        Err(_) => String::new(),
    }
}

fn json_of(value: &impl Serialize) -> Response {
    // Values of ours have only text for keys.
    let body = serde_json::to_vec(value).unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn done() -> Response {
    ([(CONTENT_TYPE, "text/plain")], "ok").into_response()
}
