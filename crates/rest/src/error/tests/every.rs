//! Every code of PostgREST 14 with its status, message, details and hint, as
//! upstream words them; and that docs/errors.md has a row for each.

#![expect(clippy::too_many_lines, reason = "tables")]

mod requests;

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
        requests::request(),
        requests::rows(),
        requests::raised(),
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
