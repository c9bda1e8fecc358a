//! `PGRST1xx`: what is wrong with requests, and with what functions answer.

#![expect(clippy::too_many_lines, reason = "tables")]

use super::super::super::*;
use super::{Expected, text};

pub(super) fn request() -> Vec<(RestError, Expected)> {
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
            RestError::NotEmbedded {
                name: text("actors"),
                alias: None,
            },
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

pub(super) fn rows() -> Vec<(RestError, Expected)> {
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

pub(super) fn raised() -> Vec<(RestError, Expected)> {
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
