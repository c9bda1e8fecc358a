//! Any call, written as a request and read again, is the same call. The
//! generator is `sent`; `render` writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::payload::{Shape, Text};
use super::super::query::tests::generate;
use super::render::{self, SCHEMAS, ZONE};
use super::*;
use crate::call::ast::{EmbedPath, Filter, LogicOperator, LogicTree, Query, RowRange};
use crate::call::media::{PlanFormat, PlanOption, PlanType};
use crate::call::prefer::{
    Count, Handling, Missing, Preferences, Representation, Resolution, TransactionEnd,
};

/// A call and the bytes of its body.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) call: Call,
    pub(crate) body: Bytes,
}

fn embed_path() -> impl Strategy<Value = EmbedPath> {
    // Before a group the word `not` negates it, even in quotes.
    let step = generate::name().prop_filter("negates", |name| name != "not");
    vec(step, 0..3)
}

fn group() -> impl Strategy<Value = LogicTree> {
    generate::tree().prop_map(|tree| match tree {
        LogicTree::Group { .. } => tree,
        filter @ LogicTree::Filter(_) => LogicTree::Group {
            negated: false,
            operator: LogicOperator::Or,
            branches: vec![filter],
        },
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let field = generate::any_field(generate::key_or_index());
    (field, generate::op_expr()).prop_map(|(field, expr)| Filter { field, expr })
}

fn range() -> impl Strategy<Value = RowRange> {
    (0..1000_u64, option::of(1..1000_u64)).prop_map(|(offset, limit)| RowRange { offset, limit })
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    let names = || option::of(vec(generate::name(), 1..4));
    let limited = (0..1000_u64, 1..1000_u64).prop_map(|(offset, limit)| RowRange {
        offset,
        limit: Some(limit),
    });
    let path = embed_path().prop_filter("the root's is apart", |path| !path.is_empty());
    (
        vec(generate::item(), 0..4),
        vec((embed_path(), filter()), 0..3),
        vec((embed_path(), group()), 0..2),
        vec((embed_path(), vec(generate::term(), 1..3)), 0..2),
        btree_map(path, limited, 0..2),
        option::of(range()),
        (names(), names()),
    )
        .prop_map(
            |(select, filters, logic, order, embed_ranges, range, (columns, on_conflict))| Query {
                select,
                filters,
                logic,
                order,
                embed_ranges: embed_ranges.into_iter().collect(),
                range,
                columns,
                on_conflict,
                ..Query::default()
            },
        )
}

fn media() -> impl Strategy<Value = MediaType> {
    let usual = select(vec![
        MediaType::Json,
        MediaType::ArrayStripped,
        MediaType::Object { stripped: true },
        MediaType::Object { stripped: false },
        MediaType::GeoJson,
        MediaType::Csv,
        MediaType::Text,
        MediaType::Xml,
        MediaType::OpenApi,
        MediaType::UrlEncoded,
        MediaType::OctetStream,
        MediaType::Any,
        MediaType::Other("image/png".to_owned()),
    ]);
    let options = vec![
        PlanOption::Analyze,
        PlanOption::Verbose,
        PlanOption::Settings,
        PlanOption::Buffers,
        PlanOption::Wal,
    ];
    let options = prop::sample::subsequence(options, 0..=5);
    let of = select(vec![MediaType::Json, MediaType::Csv, MediaType::Text]);
    let format = select(vec![PlanFormat::Json, PlanFormat::Text]);
    let plan = (of, format, options).prop_map(|(of, format, options)| {
        MediaType::Plan(Box::new(PlanType {
            of,
            format,
            options,
        }))
    });
    prop_oneof![4 => usual, 1 => plan]
}

fn prefer() -> impl Strategy<Value = Preferences> {
    let resolution = vec![Resolution::MergeDuplicates, Resolution::IgnoreDuplicates];
    let representation = vec![
        Representation::Full,
        Representation::Minimal,
        Representation::HeadersOnly,
    ];
    let ends = vec![TransactionEnd::Commit, TransactionEnd::Rollback];
    (
        option::of(select(resolution)),
        option::of(select(representation)),
        option::of(select(vec![Count::Exact, Count::Planned, Count::Estimated])),
        option::of(select(ends)),
        option::of(select(vec![Missing::Default, Missing::Null])),
        option::of(select(vec![Handling::Strict, Handling::Lenient])),
        (any::<bool>(), option::of(any::<i64>())),
        vec("[a-z]{1,8}(=[a-z]{1,3})?", 0..3),
    )
        .prop_map(
            |(resolution, representation, count, transaction, missing, handling, more, invalid)| {
                Preferences {
                    resolution,
                    representation,
                    count,
                    transaction,
                    missing,
                    handling,
                    timezone: more.0.then(|| ZONE.to_owned()),
                    max_affected: more.1,
                    invalid,
                }
            },
        )
}

/// The payload, the bytes that mean it, and their media type.
type Body = (Option<Payload>, Bytes, MediaType);

type Row = BTreeMap<String, String>;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = "[ -~é☃\n]{0,6}".prop_filter("means null in CSV", |text| text != "NULL");
    btree_set(generate::name(), 1..4).prop_flat_map(move |keys| {
        let row = vec(value.clone(), keys.len());
        vec(row, 1..3).prop_map(move |rows| {
            let row = |values: Vec<String>| keys.iter().cloned().zip(values).collect();
            rows.into_iter().map(row).collect()
        })
    })
}

fn parsed(text: &str, keys: &BTreeSet<String>, shape: Shape) -> Payload {
    Payload::Json {
        text: Text::from(text.to_owned()),
        keys: keys.clone(),
        shape,
    }
}

/// A body for rows of a table, or for the arguments of a function.
fn body(is_routine: bool) -> impl Strategy<Value = Body> {
    (rows(), 0..5_u8).prop_map(move |(rows, kind)| {
        let first = rows.first().cloned().unwrap_or_default();
        let keys: BTreeSet<String> = first.keys().cloned().collect();
        let (object, array) = (json!(first).to_string(), json!(rows).to_string());
        match kind {
            0 => {
                let payload = parsed(&object, &keys, Shape::Object);
                (Some(payload), object.into(), MediaType::Json)
            }
            1 => {
                let payload = parsed(&array, &keys, Shape::Array);
                (Some(payload), array.into(), MediaType::Json)
            }
            2 => {
                let payload = parsed(&array, &keys, Shape::Array);
                (Some(payload), csv(&rows), MediaType::Csv)
            }
            3 => {
                let payload = if is_routine {
                    Payload::Form(first.clone().into_iter().collect())
                } else {
                    parsed(&object, &keys, Shape::Object)
                };
                (Some(payload), form(&first), MediaType::UrlEncoded)
            }
            _ if is_routine => {
                let bytes = Bytes::from(object);
                (Some(Payload::Raw(bytes.clone())), bytes, MediaType::Text)
            }
            _ => {
                let payload = parsed("[]", &BTreeSet::new(), Shape::Array);
                (Some(payload), Bytes::from_static(b"[]"), MediaType::Json)
            }
        }
    })
}

fn form(row: &Row) -> Bytes {
    let pairs = row
        .iter()
        .map(|(name, value)| render::encoded(name) + "=" + &render::encoded(value));
    pairs.collect::<Vec<_>>().join("&").into()
}

fn csv(rows: &[Row]) -> Bytes {
    let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
    let names = rows.first().into_iter();
    let names = names.map(|row| row.keys().map(quoted).collect::<Vec<_>>());
    let values = rows.iter().map(|row| row.values().map(quoted).collect());
    let lines = names.chain(values).map(|line| line.join(","));
    lines.collect::<Vec<_>>().join("\n").into()
}

fn action() -> impl Strategy<Value = (Action, Method)> {
    let mutation = select(vec![
        (Mutation::Insert, Method::POST),
        (Mutation::Update, Method::PATCH),
        (Mutation::SingleUpsert, Method::PUT),
        (Mutation::Delete, Method::DELETE),
    ]);
    let get = || select(vec![Method::GET, Method::HEAD]);
    let name = generate::name;
    let read = (name(), get()).prop_map(|(relation, method)| (Action::Read { relation }, method));
    let mutate = (name(), mutation)
        .prop_map(|(relation, (mutation, method))| (Action::Mutate { relation, mutation }, method));
    let ask = (name(), get()).prop_map(|(routine, method)| {
        let invocation = Invocation::Read;
        (
            Action::Invoke {
                routine,
                invocation,
            },
            method,
        )
    });
    let post = name().prop_map(|routine| {
        let invocation = Invocation::Post;
        (
            Action::Invoke {
                routine,
                invocation,
            },
            Method::POST,
        )
    });
    let info = (name(), any::<bool>()).prop_map(|(name, is_routine)| {
        let action = if is_routine {
            Action::RoutineInfo { routine: name }
        } else {
            Action::RelationInfo { relation: name }
        };
        (action, Method::OPTIONS)
    });
    prop_oneof![
        2 => read,
        4 => mutate,
        1 => ask,
        2 => post,
        1 => info,
        1 => Just((Action::RootRead, Method::GET)),
        1 => Just((Action::RootInfo, Method::OPTIONS)),
    ]
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let wishes = (vec(media(), 1..4), prefer());
    let argument = (generate::name(), "[0-9][ -~é☃]{0,5}");
    let bodies = (body(false), body(true));
    let rest = (option::of(range()), vec(argument, 0..3));
    (
        action(),
        query(),
        select(SCHEMAS.to_vec()),
        wishes,
        bodies,
        rest,
    )
        .prop_map(|(action, query, schema, wishes, bodies, rest)| {
            assemble(action, query, schema, wishes, bodies, rest)
        })
}

/// What remains after the parts that the method does not know are left out.
fn assemble(
    (action, method): (Action, Method),
    mut query: Query,
    schema: &str,
    (accept, prefer): (Vec<MediaType>, Preferences),
    (rows, arguments): (Body, Body),
    (header, params): (Option<RowRange>, Vec<(String, String)>),
) -> Sent {
    let invokes = |by| matches!(&action, Action::Invoke { invocation, .. } if *invocation == by);
    if invokes(Invocation::Read) {
        query.params = params;
    }
    if method == Method::PUT {
        query.range = None;
    }
    let range = match (query.range, header) {
        (Some(range), _) => range,
        (None, Some(range)) if method == Method::GET => range,
        (None, _) => RowRange::default(),
    };
    let (mut payload, body, content_type) = match &action {
        Action::Mutate { mutation, .. } if *mutation != Mutation::Delete => rows,
        _ if invokes(Invocation::Post) => arguments,
        _ => (None, Bytes::new(), MediaType::Json),
    };
    let named = query.columns.as_ref().filter(|_| method != Method::PUT);
    if payload.is_some() && content_type == MediaType::Json && named.is_some() {
        let text = String::from_utf8(body.to_vec()).unwrap();
        payload = Some(Payload::RawJson(Text::from(text)));
    }
    let columns = match (&payload, named) {
        (Some(Payload::Json { keys, .. }), _) => keys.clone(),
        (Some(Payload::Form(pairs)), _) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        (Some(Payload::RawJson(_)), Some(named)) => named.iter().cloned().collect(),
        _ => BTreeSet::new(),
    };
    let call = Call {
        path: render::path(&action),
        action,
        schema: schema.to_owned(),
        negotiated_profile: Some(schema.to_owned()),
        accept,
        content_type,
        prefer,
        query,
        payload,
        columns,
        range,
        headers_only: method == Method::HEAD,
        method,
    };
    Sent { call, body }
}

proptest! {
    #[test]
    fn calls(sent in sent()) {
        let head = render::head(&sent.call);
        let read = Call::parse(&head, sent.body.clone(), &render::config());
        let mut read = read.map_err(|error| TestCaseError::fail(format!("{error} {}", head.uri)))?;
        // The one part that is made for `Content-Location` and not for reading.
        read.query.canonical.clear();
        prop_assert_eq!(read, sent.call, "{}", head.uri);
    }
}

/// The generator makes what it is meant to make, not only easy cases.
#[test]
fn calls_of_all_kinds_are_made() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let call = sent().new_tree(&mut runner).unwrap().current().call;
        seen.insert(call.method.to_string());
        seen.insert(format!("{:?}", std::mem::discriminant(&call.action)));
        if let Some(payload) = &call.payload {
            seen.insert(format!("payload {:?}", std::mem::discriminant(payload)));
        }
    }
    // Seven methods, seven actions, four payloads.
    assert_eq!(seen.len(), 7 + 7 + 4, "{seen:?}");
}
