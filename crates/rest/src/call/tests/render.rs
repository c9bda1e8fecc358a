//! Writes a [`Call`] as the request that means it: the way back from
//! [`Call::parse`], which `whole.rs` holds it against.

use std::fmt::Write as _;

use http::{Method, Request, request};

use super::super::prefer::{Preferences, Representation, TransactionEnd};
use super::super::query::tests::render as text;
use super::*;
use crate::call::ast::{EmbedPath, LogicTree, Query, RowRange};
use crate::call::prefer::{Count, Handling, Missing, Resolution};

/// The schemas that [`config`] exposes.
pub(crate) const SCHEMAS: [&str; 2] = ["api", "other"];
/// The time zone that [`config`] knows.
pub(crate) const ZONE: &str = "Europe/Berlin";

/// What rendered calls are read with: clients may choose everything.
pub(crate) fn config() -> CallConfig {
    CallConfig {
        schemas: SCHEMAS.map(str::to_owned).to_vec(),
        platform_schemas: Vec::new(),
        base_path: "/rest/v1".to_owned(),
        root: Root::Description,
        transaction_choice: TransactionChoice::Client,
        timezones: Arc::new(HashSet::from([ZONE.to_owned()])),
    }
}

/// The path of an action below the base path.
pub(crate) fn path(action: &Action) -> String {
    match action {
        Action::Read { relation }
        | Action::Mutate { relation, .. }
        | Action::RelationInfo { relation } => format!("/rest/v1/{}", encoded(relation)),
        Action::Invoke { routine, .. } | Action::RoutineInfo { routine } => {
            format!("/rest/v1/rpc/{}", encoded(routine))
        }
        Action::RootRead | Action::RootInfo => "/rest/v1/".to_owned(),
    }
}

/// The head of the request that means the call.
pub(crate) fn head(call: &Call) -> request::Parts {
    let mut request = Request::builder().method(&call.method).uri(format!(
        "{}?{}",
        call.path,
        query(&call.query)
    ));
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let profile = if writes.contains(&call.method) {
        "content-profile"
    } else {
        "accept-profile"
    };
    request = request.header(profile, &call.schema);
    request = request.header("accept", accept(&call.accept));
    if call.content_type != MediaType::Json {
        request = request.header("content-type", call.content_type.mime());
    }
    for wish in wishes(&call.prefer) {
        request = request.header("prefer", wish);
    }
    if call.query.range.is_none() && call.range != RowRange::default() {
        request = request.header("range", range(call.range));
    }
    request.body(()).unwrap().into_parts().0
}

fn range(rows: RowRange) -> String {
    match rows.limit {
        Some(limit) => format!("{}-{}", rows.offset, rows.offset + limit - 1),
        None => format!("{}-", rows.offset),
    }
}

/// Later types are wanted less.
fn accept(types: &[MediaType]) -> String {
    let wanted = types.iter().enumerate();
    let wanted = wanted.map(|(index, kind)| format!("{};q=0.{}", kind.mime(), 99 - index));
    wanted.collect::<Vec<_>>().join(", ")
}

fn wishes(prefer: &Preferences) -> Vec<String> {
    let known = [
        prefer.resolution.map(|value| match value {
            Resolution::MergeDuplicates => "resolution=merge-duplicates",
            Resolution::IgnoreDuplicates => "resolution=ignore-duplicates",
        }),
        prefer.representation.map(|value| match value {
            Representation::Full => "return=representation",
            Representation::Minimal => "return=minimal",
            Representation::HeadersOnly => "return=headers-only",
        }),
        prefer.count.map(|value| match value {
            Count::Exact => "count=exact",
            Count::Planned => "count=planned",
            Count::Estimated => "count=estimated",
        }),
        prefer.transaction.map(|value| match value {
            TransactionEnd::Commit => "tx=commit",
            TransactionEnd::Rollback => "tx=rollback",
        }),
        prefer.missing.map(|value| match value {
            Missing::Default => "missing=default",
            Missing::Null => "missing=null",
        }),
        prefer.handling.map(|value| match value {
            Handling::Strict => "handling=strict",
            Handling::Lenient => "handling=lenient",
        }),
    ];
    let mut wishes: Vec<String> = known.into_iter().flatten().map(str::to_owned).collect();
    let zone = prefer.timezone.iter();
    wishes.extend(zone.map(|name| format!("timezone={name}")));
    let max = prefer.max_affected.iter();
    wishes.extend(max.map(|rows| format!("max-affected={rows}")));
    if !prefer.invalid.is_empty() {
        wishes.push(prefer.invalid.join(", "));
    }
    wishes
}

fn query(query: &Query) -> String {
    let mut pairs = vec![("select".to_owned(), text::items(&query.select))];
    for (path, filter) in &query.filters {
        let name = text::prefix(path) + &text::field(&filter.field);
        pairs.push((name, text::expr(&filter.expr, text::plain)));
    }
    for (path, tree) in &query.logic {
        let LogicTree::Group { .. } = tree else {
            continue;
        };
        let whole = text::logic(tree);
        let (operator, branches) = whole.split_once('(').unwrap();
        pairs.push((text::prefix(path) + operator, format!("({branches}")));
    }
    for (path, terms) in &query.order {
        let terms: Vec<_> = terms.iter().map(text::term).collect();
        pairs.push((text::prefix(path) + "order", terms.join(",")));
    }
    rows(&mut pairs, &EmbedPath::new(), query.range);
    for (path, range) in &query.embed_ranges {
        rows(&mut pairs, path, Some(*range));
    }
    for (word, names) in [
        ("columns", &query.columns),
        ("on_conflict", &query.on_conflict),
    ] {
        if let Some(names) = names {
            let names: Vec<_> = names.iter().map(|name| text::quoted(name)).collect();
            pairs.push((word.to_owned(), names.join(",")));
        }
    }
    let params = query.params.iter();
    pairs.extend(params.map(|(name, value)| (text::quoted(name), value.clone())));
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

fn rows(pairs: &mut Vec<(String, String)>, path: &EmbedPath, range: Option<RowRange>) {
    let Some(RowRange { offset, limit }) = range else {
        return;
    };
    if let Some(limit) = limit {
        pairs.push((text::prefix(path) + "limit", limit.to_string()));
    }
    if offset > 0 || limit.is_none() {
        pairs.push((text::prefix(path) + "offset", offset.to_string()));
    }
}

/// Everything but letters and digits is escaped.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}
