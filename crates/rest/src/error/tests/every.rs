//! Every code of PostgREST 14 with its status, message, details and hint, as
//! upstream words them; and that docs/errors.md has a row for each.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::*;
use crate::error::{MissingRoutine, RelationshipCandidate, SingleParameter};

/// What a code answers: status, message, details, hint.
type Expected = (
    &'static str,
    u16,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

fn text(text: &str) -> String {
    text.to_owned()
}

fn missing(arguments: &[&str], single: SingleParameter, similar: Option<&str>) -> RestError {
    RestError::RoutineNotFound(Box::new(MissingRoutine {
        schema: text("api"),
        name: text("add"),
        arguments: arguments.iter().map(|name| text(name)).collect(),
        single,
        similar: similar.map(text),
    }))
}

fn unrelated(given_hint: Option<&str>, hint: Option<&str>) -> RestError {
    RestError::NoRelationship {
        parent: text("films"),
        child: text("role"),
        given_hint: given_hint.map(text),
        schema: text("api"),
        hint: hint.map(text),
    }
}

fn connection() -> Vec<(RestError, Expected)> {
    let details = || Some(text("connection refused"));
    vec![
        (
            RestError::Connection { details: details() },
            (
                "PGRST000",
                503,
                "Database connection error.",
                Some("connection refused"),
                None,
            ),
        ),
        (
            RestError::Client { details: details() },
            (
                "PGRST001",
                503,
                "Database client error. Retrying the connection.",
                Some("connection refused"),
                None,
            ),
        ),
        (
            RestError::NoCatalog,
            (
                "PGRST002",
                503,
                "Could not query the database for the schema cache. Retrying.",
                None,
                None,
            ),
        ),
        (
            RestError::PoolTimeout,
            (
                "PGRST003",
                504,
                "Timed out acquiring connection from connection pool.",
                None,
                None,
            ),
        ),
    ]
}

fn request() -> Vec<(RestError, Expected)> {
    let range = "Requested range not satisfiable";
    let out = RangeFault::OutOfBounds {
        offset: 100,
        total: 15,
    };
    vec![
        (
            RestError::Query(ParseFailure {
                message: text("\"failed to parse filter (5)\" (line 1, column 1)"),
                details: text("unexpected \"5\""),
            }),
            (
                "PGRST100",
                400,
                "\"failed to parse filter (5)\" (line 1, column 1)",
                Some("unexpected \"5\""),
                None,
            ),
        ),
        (
            RestError::InvalidRpcMethod(text("PUT")),
            (
                "PGRST101",
                405,
                "Cannot use the PUT method on RPC",
                None,
                None,
            ),
        ),
        (
            RestError::InvalidBody(text("Empty or invalid json")),
            ("PGRST102", 400, "Empty or invalid json", None, None),
        ),
        (
            RestError::InvalidRange(RangeFault::NegativeLimit),
            (
                "PGRST103",
                416,
                range,
                Some("Limit should be greater than or equal to zero."),
                None,
            ),
        ),
        (
            RestError::InvalidRange(RangeFault::LowerGreaterThanUpper),
            (
                "PGRST103",
                416,
                range,
                Some(
                    "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
                ),
                None,
            ),
        ),
        (
            RestError::InvalidRange(out),
            (
                "PGRST103",
                416,
                range,
                Some("An offset of 100 was requested, but there are only 15 rows."),
                None,
            ),
        ),
        (
            RestError::InvalidPutFilters,
            (
                "PGRST105",
                405,
                "Filters must include all and only primary key columns with 'eq' operators",
                None,
                None,
            ),
        ),
        (
            RestError::UnacceptableSchema {
                schema: text("x"),
                exposed: vec![text("v1"), text("v2")],
            },
            (
                "PGRST106",
                406,
                "Invalid schema: x",
                None,
                Some("Only the following schemas are exposed: v1, v2"),
            ),
        ),
        (
            RestError::MediaTypes(vec![text("image/png"), text("text/html")]),
            (
                "PGRST107",
                406,
                "None of these media types are available: image/png, text/html",
                None,
                None,
            ),
        ),
        (
            RestError::NotEmbedded(text("actors")),
            (
                "PGRST108",
                400,
                "'actors' is not an embedded resource in this request",
                None,
                Some("Verify that 'actors' is included in the 'select' query parameter."),
            ),
        ),
        (
            RestError::GucHeaders,
            (
                "PGRST111",
                500,
                "response.headers guc must be a JSON array composed of objects with a single key and a string value",
                None,
                None,
            ),
        ),
        (
            RestError::GucStatus,
            (
                "PGRST112",
                500,
                "response.status guc must be a valid status code",
                None,
                None,
            ),
        ),
    ]
}

fn rows() -> Vec<(RestError, Expected)> {
    vec![
        (
            RestError::PutLimitNotAllowed,
            (
                "PGRST114",
                400,
                "limit/offset querystring parameters are not allowed for PUT",
                None,
                None,
            ),
        ),
        (
            RestError::PutKeyMismatch,
            (
                "PGRST115",
                400,
                "Payload values do not match URL in primary key column(s)",
                None,
                None,
            ),
        ),
        (
            RestError::Singularity(0),
            (
                "PGRST116",
                406,
                "Cannot coerce the result to a single JSON object",
                Some("The result contains 0 rows"),
                None,
            ),
        ),
        (
            RestError::UnsupportedMethod(text("TRACE")),
            (
                "PGRST117",
                405,
                "Unsupported HTTP method: TRACE",
                None,
                None,
            ),
        ),
        (
            RestError::RelatedOrderNotToOne {
                origin: text("films"),
                target: text("actors"),
            },
            (
                "PGRST118",
                400,
                "A related order on 'actors' is not possible",
                Some("'films' and 'actors' do not form a many-to-one or one-to-one relationship"),
                None,
            ),
        ),
        (
            RestError::UnacceptableFilter(text("actors")),
            (
                "PGRST120",
                400,
                "Bad operator on the 'actors' embedded resource",
                Some("Only is null or not is null filters are allowed on embedded resources"),
                None,
            ),
        ),
        (
            RestError::InvalidPreferences(vec![text("a"), text("b=c")]),
            (
                "PGRST122",
                400,
                "Invalid preferences given with handling=strict",
                Some("Invalid preferences: a, b=c"),
                None,
            ),
        ),
        (
            RestError::AggregatesNotAllowed,
            (
                "PGRST123",
                400,
                "Use of aggregate functions is not allowed",
                None,
                None,
            ),
        ),
        (
            RestError::MaxAffected(14),
            (
                "PGRST124",
                400,
                "Query result exceeds max-affected preference constraint",
                Some("The query affects 14 rows"),
                None,
            ),
        ),
        (
            RestError::InvalidPath,
            (
                "PGRST125",
                404,
                "Invalid path specified in request URL",
                None,
                None,
            ),
        ),
        (
            RestError::OpenApiDisabled,
            (
                "PGRST126",
                404,
                "Root endpoint metadata is disabled",
                None,
                None,
            ),
        ),
        (
            RestError::NotImplemented(text("Not yet.")),
            (
                "PGRST127",
                400,
                "Feature not implemented",
                Some("Not yet."),
                None,
            ),
        ),
        (
            RestError::MaxAffectedRoutine,
            (
                "PGRST128",
                400,
                "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
                None,
                None,
            ),
        ),
    ]
}

fn raised() -> Vec<(RestError, Expected)> {
    let message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error";
    let of_detail = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.";
    vec![
        (
            RestError::InvalidRaise(RaiseFault::Message(text("x"))),
            (
                "PGRST121",
                500,
                message,
                Some("Invalid JSON value for MESSAGE: 'x'"),
                Some(
                    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'.",
                ),
            ),
        ),
        (
            RestError::InvalidRaise(RaiseFault::Detail(text("y"))),
            (
                "PGRST121",
                500,
                message,
                Some("Invalid JSON value for DETAIL: 'y'"),
                Some(of_detail),
            ),
        ),
        (
            RestError::InvalidRaise(RaiseFault::NoDetail),
            (
                "PGRST121",
                500,
                message,
                Some("DETAIL is missing in the RAISE statement"),
                Some(of_detail),
            ),
        ),
    ]
}

fn catalog() -> Vec<(RestError, Expected)> {
    let unrelated_message =
        "Could not find a relationship between 'films' and 'role' in the schema cache";
    let column = RestError::ColumnNotFound {
        relation: text("films"),
        column: text("nam"),
    };
    vec![
        (
            unrelated(None, Some("Perhaps you meant 'roles' instead of 'role'.")),
            (
                "PGRST200",
                400,
                unrelated_message,
                Some(
                    "Searched for a foreign key relationship between 'films' and 'role' in the schema 'api', but no matches were found.",
                ),
                Some("Perhaps you meant 'roles' instead of 'role'."),
            ),
        ),
        (
            unrelated(Some("fk"), None),
            (
                "PGRST200",
                400,
                unrelated_message,
                Some(
                    "Searched for a foreign key relationship between 'films' and 'role' using the hint 'fk' in the schema 'api', but no matches were found.",
                ),
                None,
            ),
        ),
        (
            RestError::AmbiguousRoutine(vec![
                text("api.f(a => integer)"),
                text("api.f(a => text)"),
            ]),
            (
                "PGRST203",
                300,
                "Could not choose the best candidate function between: api.f(a => integer), api.f(a => text)",
                None,
                Some(
                    "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
                ),
            ),
        ),
        (
            column,
            (
                "PGRST204",
                400,
                "Could not find the 'nam' column of 'films' in the schema cache",
                None,
                None,
            ),
        ),
        (
            RestError::TableNotFound {
                schema: text("api"),
                name: text("film"),
                similar: Some(text("api.films")),
            },
            (
                "PGRST205",
                404,
                "Could not find the table 'api.film' in the schema cache",
                None,
                Some("Perhaps you meant the table 'api.films'"),
            ),
        ),
    ]
}

fn routines() -> Vec<(RestError, Expected)> {
    let call = "Perhaps you meant to call the function api.add(a, b)";
    vec![
        (
            missing(&["a", "c"], SingleParameter::Json, Some("api.add(a, b)")),
            (
                "PGRST202",
                404,
                "Could not find the function api.add(a, c) in the schema cache",
                Some(
                    "Searched for the function api.add with parameters a, c or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache.",
                ),
                Some(call),
            ),
        ),
        (
            missing(&["a"], SingleParameter::None, Some("api.add(a, b)")),
            (
                "PGRST202",
                404,
                "Could not find the function api.add(a) in the schema cache",
                Some(
                    "Searched for the function api.add with parameter a, but no matches were found in the schema cache.",
                ),
                Some(call),
            ),
        ),
        (
            missing(&["a"], SingleParameter::Text, Some("api.add(a, b)")),
            (
                "PGRST202",
                404,
                "Could not find the function api.add in the schema cache",
                Some(
                    "Searched for the function api.add with a single unnamed text parameter, but no matches were found in the schema cache.",
                ),
                None,
            ),
        ),
    ]
}

fn tokens() -> Vec<(RestError, Expected)> {
    vec![
        (
            RestError::JwtSecretMissing,
            ("PGRST300", 500, "Server lacks JWT secret", None, None),
        ),
        (
            RestError::JwtInvalid {
                message: text("No suitable key or wrong key type"),
                details: Some(text("None of the keys was able to decode the JWT")),
            },
            (
                "PGRST301",
                401,
                "No suitable key or wrong key type",
                Some("None of the keys was able to decode the JWT"),
                None,
            ),
        ),
        (
            RestError::JwtRequired,
            ("PGRST302", 401, "Anonymous access is disabled", None, None),
        ),
        (
            RestError::JwtClaims(text("JWT expired")),
            ("PGRST303", 401, "JWT expired", None, None),
        ),
        (
            RestError::Internal,
            ("PGRSTX00", 500, "Internal server error", None, None),
        ),
    ]
}

fn every() -> Vec<(RestError, Expected)> {
    [
        connection(),
        request(),
        rows(),
        raised(),
        catalog(),
        routines(),
        tokens(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The codes of upstream's `Error.hs`, branch v14, that are in use; 201 has a
/// list as its details and a test of its own.
const CODES: [&str; 39] = [
    "000", "001", "002", "003", "100", "101", "102", "103", "105", "106", "107", "108", "111",
    "112", "114", "115", "116", "117", "118", "120", "121", "122", "123", "124", "125", "126",
    "127", "128", "200", "201", "202", "203", "204", "205", "300", "301", "302", "303", "X00",
];

#[test]
fn every_code_says_what_upstream_says() {
    let mut seen = BTreeSet::from([text("PGRST201")]);
    for (error, (code, status, message, details, hint)) in every() {
        let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
        let expected = json!({"code": code, "message": message, "details": details, "hint": hint});
        assert_eq!(body, expected);
        assert_eq!(error.status().as_u16(), status, "{code}");
        seen.insert(text(code));
    }
    let codes = CODES.iter().map(|code| format!("PGRST{code}"));
    assert_eq!(seen, codes.collect::<BTreeSet<_>>());
}

#[test]
fn an_ambiguous_embed_lists_the_ways() {
    let candidate = |cardinality, constraint: &str| RelationshipCandidate {
        cardinality,
        embedding: text("orders with addresses"),
        relationship: format!("{constraint} using orders({constraint}) and addresses(id)"),
        suggestion: format!("addresses!{constraint}"),
    };
    let error = RestError::AmbiguousRelationship {
        parent: text("orders"),
        child: text("addresses"),
        candidates: vec![
            candidate("many-to-one", "billing"),
            candidate("many-to-one", "shipping"),
        ],
    };
    let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
    assert_eq!(error.status().as_u16(), 300);
    assert_eq!(
        body,
        json!({
            "code": "PGRST201",
            "message": "Could not embed because more than one relationship was found for 'orders' and 'addresses'",
            "details": [
                {
                    "cardinality": "many-to-one",
                    "embedding": "orders with addresses",
                    "relationship": "billing using orders(billing) and addresses(id)",
                },
                {
                    "cardinality": "many-to-one",
                    "embedding": "orders with addresses",
                    "relationship": "shipping using orders(shipping) and addresses(id)",
                },
            ],
            "hint": "Try changing 'addresses' to one of the following: 'addresses!billing', 'addresses!shipping'. Find the desired relationship in the 'details' key.",
        })
    );
}

#[test]
fn every_code_is_documented() {
    let page = include_str!("../../../../../docs/errors.md");
    for (error, (code, status, ..)) in every() {
        let row = format!("| {code} | {status} |");
        assert!(
            page.contains(&row),
            "docs/errors.md has no `{row}`: {error}"
        );
    }
    assert!(page.contains("| PGRST201 | 300 |"));
}
