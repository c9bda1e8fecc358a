//! Everything that can go wrong, as the dialect words it.
//!
//! One enum for the whole dialect: `PGRST0xx` connection, 1xx request, 2xx
//! catalog, 3xx token, and what Postgres itself says. [`RestError::code`],
//! [`RestError::status`] and the parts of the body are one `match` each;
//! `respond.rs` makes the response. Clients compare these texts.

mod body;
mod postgres;
mod respond;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::StatusCode;

pub use postgres::{PostgresError, RaiseFault, Raised};

use crate::call::ParseFailure;

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} {}", self.code(), self.message())]
pub enum RestError {
    /// 000: no connection to the database.
    Connection {
        /// What the operating system or the server said, if it may be shown.
        details: Option<String>,
    },
    /// 001: the connection broke during the request.
    Client {
        /// What is known about it.
        details: Option<String>,
    },
    /// 002: the catalog has not been read yet.
    NoCatalog,
    /// 003: every connection was busy for too long.
    PoolTimeout,

    /// 100: a query parameter does not parse.
    Query(ParseFailure),
    /// 101: functions are called by GET or POST.
    InvalidRpcMethod(String),
    /// 102: the body does not parse or has a type that is not taken.
    InvalidBody(String),
    /// 103: the range is not satisfiable.
    InvalidRange(RangeFault),
    /// 105: a PUT has to name its row by the primary key.
    InvalidPutFilters,
    /// 106: the schema is not exposed.
    UnacceptableSchema {
        /// What was asked for.
        schema: String,
        /// What there is.
        exposed: Vec<String>,
    },
    /// 107: no media type that the client accepts can be made.
    MediaTypes(Vec<String>),
    /// 108: a filter or order names an embed that is not selected.
    NotEmbedded {
        /// What it was called.
        name: String,
        /// The alias that it goes by instead, where it has one.
        alias: Option<String>,
    },
    /// 111: `response.headers` is not what it should be.
    GucHeaders,
    /// 112: `response.status` is not what it should be.
    GucStatus,
    /// 114: a PUT has no limit and no offset.
    PutLimitNotAllowed,
    /// 115: the body of a PUT is another row than its filters.
    PutKeyMismatch,
    /// 116: one row was asked for, this many came.
    Singularity(u64),
    /// 117: a method that no resource knows.
    UnsupportedMethod(String),
    /// 118: ordering by an embed that has many rows.
    RelatedOrderNotToOne {
        /// The relation that is ordered.
        origin: String,
        /// The embed, by the name it is selected as.
        target: String,
    },
    /// 120: embeds can only be filtered by `is.null` and `not.is.null`.
    UnacceptableFilter(String),
    /// 121: a RAISE with the SQLSTATE PGRST carries no proper `JSON`.
    InvalidRaise(RaiseFault),
    /// 122: strict handling met unknown preferences.
    InvalidPreferences(Vec<String>),
    /// 123: the operator has not allowed aggregates.
    AggregatesNotAllowed,
    /// 124: more rows were touched than `max-affected` allows.
    MaxAffected(u64),
    /// 125: no resource has such a path.
    InvalidPath,
    /// 126: the operator has turned the description of the API off.
    OpenApiDisabled,
    /// 127: the dialect knows it, the server does not.
    NotImplemented(String),
    /// 128: `max-affected` needs a function that returns rows.
    MaxAffectedRoutine,

    /// 200: the two relations are not related.
    NoRelationship {
        /// The relation that embeds.
        parent: String,
        /// What it should embed.
        child: String,
        /// The `!hint` that was given.
        given_hint: Option<String>,
        /// The schema that was searched.
        schema: String,
        /// A name that is similar, as a whole sentence.
        hint: Option<String>,
    },
    /// 201: the two relations are related in several ways.
    AmbiguousRelationship {
        /// The relation that embeds.
        parent: String,
        /// What it should embed.
        child: String,
        /// The ways.
        candidates: Vec<RelationshipCandidate>,
    },
    /// 202: no function takes these arguments.
    RoutineNotFound(Box<MissingRoutine>),
    /// 203: several functions do; each as `schema.name(arg => type, …)`.
    AmbiguousRoutine(Vec<String>),
    /// 204: `columns=` or the body names a column that is not there.
    ColumnNotFound {
        /// The relation.
        relation: String,
        /// The column.
        column: String,
    },
    /// 205: no such table or view.
    TableNotFound {
        /// The schema that was searched.
        schema: String,
        /// What was asked for.
        name: String,
        /// A table with a similar name: `schema.name`.
        similar: Option<String>,
    },

    /// 300: tokens cannot be verified.
    JwtSecretMissing,
    /// 301: the token is no good.
    JwtInvalid {
        /// What is wrong.
        message: String,
        /// More about it.
        details: Option<String>,
    },
    /// 302: there is no token and anonymous access is off.
    JwtRequired,
    /// 303: the token's claims do not let it in, for this reason.
    JwtClaims(String),

    /// What Postgres answered.
    Postgres(Box<PostgresError>),
    /// A function took over the whole answer by RAISE with SQLSTATE PGRST.
    Raised(Box<Raised>),
    /// Text that Postgres could not store: invalid UTF-8 or a NUL.
    InvalidEncoding,
    /// 413: the body is larger than the operator allows.
    BodyTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// A fault of the server. The cause is in the log, never in the answer.
    Internal,
}

/// Why a range is not satisfiable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeFault {
    /// A negative limit, or a `Range` header outside `limit` and `offset`.
    NegativeLimit,
    /// `Range: 5-2`
    LowerGreaterThanUpper,
    /// The offset lies behind the last row.
    OutOfBounds {
        /// The offset.
        offset: u64,
        /// How many rows there are.
        total: u64,
    },
}

/// One way in which two relations are related.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationshipCandidate {
    /// `many-to-one`, `one-to-many`, `one-to-one`, `many-to-many`.
    pub cardinality: &'static str,
    /// `parent with child`
    pub embedding: String,
    /// `constraint using parent(column) and child(column)`
    pub relationship: String,
    /// What to write instead: `child!constraint`.
    pub suggestion: String,
}

/// A function that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRoutine {
    /// The schema that was searched.
    pub schema: String,
    /// The function's name.
    pub name: String,
    /// The names of the arguments, sorted.
    pub arguments: Vec<String>,
    /// What kind of single unnamed parameter would have done as well.
    pub single: SingleParameter,
    /// A similar function: `schema.name` or `schema.name(a, b)`.
    pub similar: Option<String>,
}

/// Which single unnamed parameter the body of a POST could have gone to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleParameter {
    /// None: not a POST, or a form.
    None,
    /// `json` or `jsonb`, besides named arguments.
    Json,
    /// `text`, and nothing else.
    Text,
    /// `xml`, and nothing else.
    Xml,
    /// `bytea`, and nothing else.
    Bytes,
}

impl From<ParseFailure> for RestError {
    fn from(failure: ParseFailure) -> Self {
        Self::Query(failure)
    }
}

impl RestError {
    /// The code that clients act on.
    #[must_use]
    pub fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Postgres(error) => return Cow::Owned(error.code.clone()),
            Self::Raised(raised) => return Cow::Owned(raised.code.clone()),
            Self::InvalidEncoding => "22021",
            Self::Connection { .. } => "PGRST000",
            Self::Client { .. } => "PGRST001",
            Self::NoCatalog => "PGRST002",
            Self::PoolTimeout => "PGRST003",
            Self::Query(_) => "PGRST100",
            Self::InvalidRpcMethod(_) => "PGRST101",
            Self::InvalidBody(_) => "PGRST102",
            Self::InvalidRange(_) => "PGRST103",
            Self::InvalidPutFilters => "PGRST105",
            Self::UnacceptableSchema { .. } => "PGRST106",
            Self::MediaTypes(_) => "PGRST107",
            Self::NotEmbedded { .. } => "PGRST108",
            Self::GucHeaders => "PGRST111",
            Self::GucStatus => "PGRST112",
            Self::PutLimitNotAllowed => "PGRST114",
            Self::PutKeyMismatch => "PGRST115",
            Self::Singularity(_) => "PGRST116",
            Self::UnsupportedMethod(_) => "PGRST117",
            Self::RelatedOrderNotToOne { .. } => "PGRST118",
            Self::UnacceptableFilter(_) => "PGRST120",
            Self::InvalidRaise(_) => "PGRST121",
            Self::InvalidPreferences(_) => "PGRST122",
            Self::AggregatesNotAllowed => "PGRST123",
            Self::MaxAffected(_) => "PGRST124",
            Self::InvalidPath => "PGRST125",
            Self::OpenApiDisabled => "PGRST126",
            Self::NotImplemented(_) => "PGRST127",
            Self::MaxAffectedRoutine => "PGRST128",
            Self::NoRelationship { .. } => "PGRST200",
            Self::AmbiguousRelationship { .. } => "PGRST201",
            Self::RoutineNotFound(_) => "PGRST202",
            Self::AmbiguousRoutine(_) => "PGRST203",
            Self::ColumnNotFound { .. } => "PGRST204",
            Self::TableNotFound { .. } => "PGRST205",
            Self::JwtSecretMissing => "PGRST300",
            Self::JwtInvalid { .. } => "PGRST301",
            Self::JwtRequired => "PGRST302",
            Self::JwtClaims(_) => "PGRST303",
            Self::BodyTooLarge { .. } => "PGRST413",
            Self::Internal => "PGRSTX00",
        })
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Postgres(error) => error.status(),
            Self::Raised(raised) => raised.status,
            Self::AmbiguousRelationship { .. } | Self::AmbiguousRoutine(_) => {
                StatusCode::MULTIPLE_CHOICES
            }
            Self::JwtInvalid { .. } | Self::JwtRequired | Self::JwtClaims(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::InvalidPath
            | Self::OpenApiDisabled
            | Self::RoutineNotFound(_)
            | Self::TableNotFound { .. } => StatusCode::NOT_FOUND,
            Self::InvalidRpcMethod(_) | Self::InvalidPutFilters | Self::UnsupportedMethod(_) => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Self::UnacceptableSchema { .. } | Self::MediaTypes(_) | Self::Singularity(_) => {
                StatusCode::NOT_ACCEPTABLE
            }
            Self::InvalidRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::GucHeaders
            | Self::GucStatus
            | Self::InvalidRaise(_)
            | Self::JwtSecretMissing
            | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Connection { .. } | Self::Client { .. } | Self::NoCatalog => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::PoolTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
