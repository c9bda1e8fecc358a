//! The last stage: an outcome becomes a response. Pure.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::media::{MediaType, PlanFormat};
use crate::call::prefer::{Count, Preferences, Representation, Resolution};
use crate::call::{Call, Mutation};
use crate::csv;
use crate::error::{RangeFault, RestError};
use crate::execute::Outcome;
use crate::json;
use crate::plan::mutate::MutateKind;
use crate::plan::negotiate::Handler;
use crate::plan::{CallReadPlan, MutateReadPlan, Plan, ReadPlan};
use crate::sql::Shape;

/// Room for our headers and for those that the gateway adds, so that the map
/// never grows.
const HEADERS_USUAL: usize = 16;

/// A response in the making.
struct Draft {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Renders the answer to a plan that has been carried out.
pub(crate) fn render(
    call: &Call,
    plan: &Plan<'_>,
    shape: Shape,
    outcome: &Outcome,
) -> Result<Response, RestError> {
    let draft = match plan {
        _ if shape == Shape::Explain => explained(call, plan, outcome),
        Plan::Read(plan) => read(call, plan, shape, outcome)?,
        Plan::Mutate(plan) => mutate(call, plan, shape, outcome),
        Plan::Call(plan) => called(call, plan, shape, outcome)?,
        Plan::Root | Plan::Info { .. } => return Err(RestError::Internal),
    };
    overridden(draft, call, outcome)
}

/// The OpenAPI root.
pub(crate) fn root(call: &Call, document: Vec<u8>) -> Response {
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    content_type(&mut headers, &MediaType::OpenApi, call);
    let draft = Draft {
        status: StatusCode::OK,
        headers,
        body: document,
    };
    respond(draft, call.headers_only)
}

/// OPTIONS.
pub(crate) fn info(allow: &str) -> Response {
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    set(&mut headers, http::header::ALLOW, allow);
    set(&mut headers, http::header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let draft = Draft {
        status: StatusCode::OK,
        headers,
        body: Vec::new(),
    };
    respond(draft, false)
}

/// How many rows the request touched or returns.
pub(crate) fn rows_in(shape: Shape, plan: &Plan<'_>, outcome: &Outcome) -> u64 {
    match plan {
        Plan::Call(plan) if !plan.routine.returns.set => 1,
        _ => count_rows(shape, outcome),
    }
}

fn count_rows(shape: Shape, outcome: &Outcome) -> u64 {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let number = |column| {
        let row = outcome.rows.first();
        row.and_then(|row| row.get(column))
            .and_then(|n| n.parse().ok())
    };
    match shape {
        Shape::Rows | Shape::Scalars | Shape::Csv | Shape::Explain => count(outcome.rows.len()),
        Shape::Wrapped => number(1).unwrap_or(0),
        Shape::Count => number(0).unwrap_or(0),
        Shape::Affected => outcome.rows.affected(),
    }
}

fn read(
    call: &Call,
    plan: &ReadPlan<'_>,
    shape: Shape,
    outcome: &Outcome,
) -> Result<Draft, RestError> {
    let rows = count_rows(shape, outcome);
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    let status = page(&mut headers, call, rows, outcome.total)?;
    let query = &call.query.canonical;
    let separator = if query.is_empty() { "" } else { "?" };
    let table = encoded(&plan.table.name);
    set(
        &mut headers,
        CONTENT_LOCATION,
        &format!("/{table}{separator}{query}"),
    );
    content_type(&mut headers, &plan.media, call);
    applied(&mut headers, &plan_preferences(call));
    Ok(Draft {
        status,
        headers,
        body: body(&plan.handler, shape, outcome, false),
    })
}

fn mutate(call: &Call, plan: &MutateReadPlan<'_>, shape: Shape, outcome: &Outcome) -> Draft {
    let rows = count_rows(shape, outcome);
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    let counted = call.prefer.count.is_some_and(Count::counts).then_some(rows);
    let full = call.prefer.representation == Some(Representation::Full);
    let mutation = mutation_of(call);
    let status = match mutation {
        Mutation::Insert => {
            location(&mut headers, call, plan, outcome);
            set(&mut headers, CONTENT_RANGE, &content_range(1, 0, counted));
            let merged = call.prefer.resolution == Some(Resolution::MergeDuplicates)
                && outcome.inserted.is_some_and(|n| n <= 0);
            if merged {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            }
        }
        Mutation::Update => {
            let last = i128::from(rows) - 1;
            set(
                &mut headers,
                CONTENT_RANGE,
                &content_range(0, last, counted),
            );
            written(full)
        }
        Mutation::SingleUpsert => match (full, outcome.inserted) {
            (true, Some(n)) if n > 0 => StatusCode::CREATED,
            _ => written(full),
        },
        Mutation::Delete => {
            set(&mut headers, CONTENT_RANGE, &content_range(1, 0, counted));
            written(full)
        }
    };
    applied(&mut headers, &write_preferences(call, plan, mutation));
    if full {
        content_type(&mut headers, &plan.media, call);
    }
    Draft {
        status,
        headers,
        body: if full {
            body(&plan.handler, shape, outcome, false)
        } else {
            Vec::new()
        },
    }
}

fn written(full: bool) -> StatusCode {
    if full {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    }
}

fn mutation_of(call: &Call) -> Mutation {
    match call.action {
        crate::call::Action::Mutate { mutation, .. } => mutation,
        _ => Mutation::Delete,
    }
}

fn called(
    call: &Call,
    plan: &CallReadPlan<'_>,
    shape: Shape,
    outcome: &Outcome,
) -> Result<Draft, RestError> {
    let rows = if plan.routine.returns.set {
        count_rows(shape, outcome)
    } else {
        1
    };
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    let status = page(&mut headers, call, rows, outcome.total)?;
    let mut preferences = plan_preferences(call);
    preferences.max_affected = call.prefer.max_affected;
    applied(&mut headers, &preferences);
    if plan.routine.returns.kind == pg::catalog::ReturnKind::Void {
        return Ok(Draft {
            status: StatusCode::NO_CONTENT,
            headers,
            body: Vec::new(),
        });
    }
    content_type(&mut headers, &plan.media, call);
    Ok(Draft {
        status,
        headers,
        body: body(&plan.handler, shape, outcome, !plan.routine.returns.set),
    })
}

fn explained(call: &Call, plan: &Plan<'_>, outcome: &Outcome) -> Draft {
    let media = match plan {
        Plan::Read(plan) => &plan.media,
        Plan::Mutate(plan) => &plan.media,
        Plan::Call(plan) => &plan.media,
        Plan::Root | Plan::Info { .. } => &MediaType::Json,
    };
    let mut text = Vec::new();
    for row in outcome.rows.iter() {
        text.extend_from_slice(row.get(0).unwrap_or_default().as_bytes());
        text.push(b'\n');
    }
    if let MediaType::Plan(plan) = media
        && plan.format == PlanFormat::Json
    {
        // One document, as Postgres wrote it.
        text.pop();
        text.push(b'\n');
    }
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    content_type(&mut headers, media, call);
    Draft {
        status: StatusCode::OK,
        headers,
        body: text,
    }
}

/// The body for what came back. `single`: a function that returns one row.
fn body(handler: &Handler, shape: Shape, outcome: &Outcome, single: bool) -> Vec<u8> {
    let rows = &outcome.rows;
    let one = single || matches!(handler, Handler::Object { .. });
    match shape {
        _ if *handler == Handler::None => Vec::new(),
        Shape::Rows if one => json::object(rows),
        Shape::Rows => json::array(rows),
        Shape::Scalars if one => json::value(rows),
        Shape::Scalars => json::values(rows),
        Shape::Csv => csv::table(rows),
        Shape::Wrapped => {
            let row = rows.first();
            let text = row.and_then(|row| row.values().nth(2).flatten());
            wrapped_body(rows, text.unwrap_or_default())
        }
        Shape::Count | Shape::Explain | Shape::Affected => Vec::new(),
    }
}

/// A handler may return `bytea`, whose text is `\x…`.
fn wrapped_body(rows: &pg::Rows, text: &[u8]) -> Vec<u8> {
    const BYTEA: u32 = 17;
    let is_bytes = rows.columns().get(2).is_some_and(|c| c.type_oid == BYTEA);
    let Some(hex) = text.strip_prefix(b"\\x").filter(|_| is_bytes) else {
        return text.to_vec();
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0);
    hex.chunks(2)
        .map(|pair| {
            let value = pair
                .iter()
                .map(digit)
                .fold(0, |sum, digit| sum * 16 + digit);
            u8::try_from(value).unwrap_or_default()
        })
        .collect()
}

/// Status and `Content-Range` of a page of rows.
fn page(
    headers: &mut HeaderMap,
    call: &Call,
    rows: u64,
    total: Option<u64>,
) -> Result<StatusCode, RestError> {
    let offset = call.range.offset;
    if let Some(total) = total.filter(|total| offset > *total) {
        let fault = RangeFault::OutOfBounds { offset, total };
        return Err(RestError::InvalidRange(fault));
    }
    let first = i128::from(offset);
    let last = first + i128::from(rows) - 1;
    set(headers, CONTENT_RANGE, &content_range(first, last, total));
    Ok(match total {
        Some(total) if rows < total => StatusCode::PARTIAL_CONTENT,
        _ => StatusCode::OK,
    })
}

/// `0-24/100`, with `*` for what is not known or not there.
fn content_range(first: i128, last: i128, total: Option<u64>) -> String {
    let total_text = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    if first <= last && total != Some(0) {
        format!("{first}-{last}/{total_text}")
    } else {
        format!("*/{total_text}")
    }
}

/// Where the one new row can be read, by its primary key.
fn location(headers: &mut HeaderMap, call: &Call, plan: &MutateReadPlan<'_>, outcome: &Outcome) {
    let wanted = call.prefer.representation == Some(Representation::HeadersOnly);
    let Some(row) = outcome
        .rows
        .first()
        .filter(|_| wanted && outcome.rows.len() == 1)
    else {
        return;
    };
    let mut text = format!("/{}", encoded(&plan.table.name));
    let columns = outcome.rows.columns();
    for (index, column) in columns.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&encoded(&column.name));
        text.push('=');
        match row.get(index) {
            Some(value) => {
                text.push_str("eq.");
                text.push_str(&encoded(value));
            }
            None => text.push_str("is.null"),
        }
    }
    if !columns.is_empty() {
        set(headers, LOCATION, &text);
    }
}

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What reads and calls may have honoured.
fn plan_preferences(call: &Call) -> Preferences {
    Preferences {
        resolution: None,
        representation: None,
        missing: None,
        max_affected: None,
        ..call.prefer.clone()
    }
}

fn write_preferences(call: &Call, plan: &MutateReadPlan<'_>, mutation: Mutation) -> Preferences {
    let mut preferences = call.prefer.clone();
    let has_conflict_columns = match &plan.mutate.kind {
        MutateKind::Insert { .. } => {
            !plan.primary_key.is_empty() || call.query.on_conflict.is_some()
        }
        MutateKind::Update { .. } | MutateKind::Delete { .. } => false,
    };
    if mutation != Mutation::Insert || !has_conflict_columns {
        preferences.resolution = None;
    }
    if !matches!(mutation, Mutation::Insert | Mutation::Update) {
        preferences.missing = None;
    }
    if !matches!(mutation, Mutation::Update | Mutation::Delete) {
        preferences.max_affected = None;
    }
    preferences
}

fn applied(headers: &mut HeaderMap, preferences: &Preferences) {
    if let Some(text) = preferences.applied() {
        set(
            headers,
            HeaderName::from_static("preference-applied"),
            &text,
        );
    }
}

fn content_type(headers: &mut HeaderMap, media: &MediaType, call: &Call) {
    set(headers, CONTENT_TYPE, &media.content_type());
    if let Some(profile) = &call.negotiated_profile {
        set(headers, HeaderName::from_static("content-profile"), profile);
    }
}

/// Sets a header. Text that cannot stand in one is left out: names of tables
/// and schemas may hold anything.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// Applies `response.status` and `response.headers`, which functions set.
fn overridden(mut draft: Draft, call: &Call, outcome: &Outcome) -> Result<Response, RestError> {
    if let Some(status) = &outcome.status {
        let code: u16 = status.parse().map_err(|_| RestError::GucStatus)?;
        draft.status = StatusCode::from_u16(code).map_err(|_| RestError::GucStatus)?;
    }
    if let Some(text) = &outcome.headers {
        let list: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(text).map_err(|_| RestError::GucHeaders)?;
        let mut own = HeaderMap::new();
        for header in list {
            let mut pairs = header.into_iter();
            let (Some((name, serde_json::Value::String(value))), None) =
                (pairs.next(), pairs.next())
            else {
                return Err(RestError::GucHeaders);
            };
            let name = HeaderName::try_from(name).map_err(|_| RestError::GucHeaders)?;
            let value = HeaderValue::try_from(value).map_err(|_| RestError::GucHeaders)?;
            own.append(name, value);
        }
        for name in own.keys() {
            draft.headers.remove(name);
        }
        draft.headers.extend(own);
    }
    Ok(respond(draft, call.headers_only))
}

fn respond(draft: Draft, is_head: bool) -> Response {
    let body = if is_head {
        // Without a length, or an outer layer would announce that of the empty
        // body, which is not the one that GET would have.
        Body::new(Empty::<Bytes>::new().map_frame(|frame| frame))
    } else {
        Body::from(draft.body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = draft.status;
    *response.headers_mut() = draft.headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_what_is_known() {
        assert_eq!(content_range(0, 24, None), "0-24/*");
        assert_eq!(content_range(0, -1, None), "*/*");
        assert_eq!(content_range(5, 9, Some(20)), "5-9/20");
        assert_eq!(content_range(0, -1, Some(0)), "*/0");
        assert_eq!(content_range(1, 0, Some(3)), "*/3");
    }

    #[test]
    fn locations_can_be_requested_as_they_are() {
        assert_eq!(encoded("å b/c"), "%C3%A5%20b%2Fc");
        assert_eq!(encoded("simple_pk-2.x~"), "simple_pk-2.x~");
    }
}
