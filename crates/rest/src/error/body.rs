//! The texts of the error body: `message`, `details` and `hint`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{MissingRoutine, RangeFault, RelationshipCandidate, RestError, SingleParameter};

impl RestError {
    /// What went wrong, in one line.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        let text = match self {
            Self::Postgres(error) => return Cow::Borrowed(&error.message),
            Self::Raised(raised) => return Cow::Borrowed(&raised.message),
            Self::Query(failure) => return Cow::Borrowed(&failure.message),
            Self::InvalidBody(text) | Self::JwtClaims(text) => return Cow::Borrowed(text),
            Self::JwtInvalid { message, .. } => return Cow::Borrowed(message),
            Self::Connection { .. } => "Database connection error.",
            Self::Client { .. } => "Database client error. Retrying the connection.",
            Self::NoCatalog => "Could not query the database for the schema cache. Retrying.",
            Self::PoolTimeout => "Timed out acquiring connection from connection pool.",
            Self::InvalidRange(_) => "Requested range not satisfiable",
            Self::InvalidPutFilters => {
                "Filters must include all and only primary key columns with 'eq' operators"
            }
            Self::GucHeaders => {
                "response.headers guc must be a JSON array composed of objects with a single key and a string value"
            }
            Self::GucStatus => "response.status guc must be a valid status code",
            Self::PutLimitNotAllowed => {
                "limit/offset querystring parameters are not allowed for PUT"
            }
            Self::PutKeyMismatch => "Payload values do not match URL in primary key column(s)",
            Self::Singularity(_) => "Cannot coerce the result to a single JSON object",
            Self::InvalidRaise(_) => "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
            Self::InvalidPreferences(_) => "Invalid preferences given with handling=strict",
            Self::AggregatesNotAllowed => "Use of aggregate functions is not allowed",
            Self::MaxAffected(_) => "Query result exceeds max-affected preference constraint",
            Self::InvalidPath => "Invalid path specified in request URL",
            Self::OpenApiDisabled => "Root endpoint metadata is disabled",
            Self::NotImplemented(_) => "Feature not implemented",
            Self::MaxAffectedRoutine => {
                "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
            }
            Self::JwtSecretMissing => "Server lacks JWT secret",
            Self::JwtRequired => "Anonymous access is disabled",
            Self::InvalidEncoding => "invalid byte sequence for encoding \"UTF8\"",
            Self::BodyTooLarge { max } => {
                return Cow::Owned(format!("the body is larger than {max} bytes"));
            }
            Self::Internal => "Internal server error",
            other => return Cow::Owned(other.message_with_names()),
        };
        Cow::Borrowed(text)
    }

    fn message_with_names(&self) -> String {
        match self {
            Self::InvalidRpcMethod(method) => format!("Cannot use the {method} method on RPC"),
            Self::UnacceptableSchema { schema, .. } => format!("Invalid schema: {schema}"),
            Self::MediaTypes(types) => {
                let types = types.join(", ");
                format!("None of these media types are available: {types}")
            }
            Self::NotEmbedded { name, .. } => {
                format!("'{name}' is not an embedded resource in this request")
            }
            Self::UnsupportedMethod(method) => format!("Unsupported HTTP method: {method}"),
            Self::RelatedOrderNotToOne { target, .. } => {
                format!("A related order on '{target}' is not possible")
            }
            Self::UnacceptableFilter(target) => {
                format!("Bad operator on the '{target}' embedded resource")
            }
            Self::NoRelationship { parent, child, .. } => format!(
                "Could not find a relationship between '{parent}' and '{child}' in the schema cache"
            ),
            Self::AmbiguousRelationship { parent, child, .. } => format!(
                "Could not embed because more than one relationship was found for '{parent}' and '{child}'"
            ),
            Self::RoutineNotFound(missing) => missing.message(),
            Self::AmbiguousRoutine(candidates) => format!(
                "Could not choose the best candidate function between: {}",
                candidates.join(", ")
            ),
            Self::ColumnNotFound { relation, column } => {
                format!("Could not find the '{column}' column of '{relation}' in the schema cache")
            }
            Self::TableNotFound { schema, name, .. } => {
                format!("Could not find the table '{schema}.{name}' in the schema cache")
            }
            _ => String::new(),
        }
    }

    /// More about it, mostly a sentence.
    #[must_use]
    pub fn details(&self) -> Option<Value> {
        let text = match self {
            Self::AmbiguousRelationship { candidates, .. } => {
                return Some(candidates.iter().map(RelationshipCandidate::json).collect());
            }
            Self::Postgres(error) => error.detail.clone()?,
            Self::Raised(raised) => raised.details.clone()?,
            Self::Connection { details }
            | Self::Client { details }
            | Self::JwtInvalid { details, .. } => details.clone()?,
            Self::Query(failure) => failure.details.clone(),
            Self::InvalidRange(fault) => fault.details(),
            Self::Singularity(rows) => format!("The result contains {rows} rows"),
            Self::RelatedOrderNotToOne { origin, target } => format!(
                "'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship"
            ),
            Self::NotEmbedded { alias: Some(_), .. } => {
                "Target names are not allowed in filters if they have an alias".to_owned()
            }
            Self::UnacceptableFilter(_) => {
                "Only is null or not is null filters are allowed on embedded resources".to_owned()
            }
            Self::InvalidRaise(fault) => fault.details(),
            Self::InvalidPreferences(names) => {
                format!("Invalid preferences: {}", names.join(", "))
            }
            Self::MaxAffected(rows) => format!("The query affects {rows} rows"),
            Self::NotImplemented(details) => details.clone(),
            Self::NoRelationship {
                parent,
                child,
                given_hint,
                schema,
                ..
            } => {
                let hint = given_hint
                    .as_ref()
                    .map(|hint| format!("' using the hint '{hint}"))
                    .unwrap_or_default();
                format!(
                    "Searched for a foreign key relationship between '{parent}' and '{child}{hint}' in the schema '{schema}', but no matches were found."
                )
            }
            Self::RoutineNotFound(missing) => missing.details(),
            _ => return None,
        };
        Some(Value::String(text))
    }

    /// What to try instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Postgres(error) => error.hint.clone(),
            Self::Raised(raised) => raised.hint.clone(),
            Self::NotEmbedded { name, alias: None } => Some(format!(
                "Verify that '{name}' is included in the 'select' query parameter."
            )),
            Self::NotEmbedded {
                name,
                alias: Some(alias),
            } => Some(format!(
                "Change '{name}' to '{alias}' in filters, orders or limits."
            )),
            Self::InvalidRaise(fault) => Some(fault.hint().to_owned()),
            Self::UnacceptableSchema { exposed, .. } => Some(format!(
                "Only the following schemas are exposed: {}",
                exposed.join(", ")
            )),
            Self::NoRelationship { hint, .. } => hint.clone(),
            Self::AmbiguousRelationship {
                child, candidates, ..
            } => {
                let suggestions: Vec<String> = candidates
                    .iter()
                    .map(|candidate| format!("'{}'", candidate.suggestion))
                    .collect();
                Some(format!(
                    "Try changing '{child}' to one of the following: {}. Find the desired relationship in the 'details' key.",
                    suggestions.join(", ")
                ))
            }
            Self::RoutineNotFound(missing) => missing.hint(),
            Self::AmbiguousRoutine(_) => Some(
                "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
                    .to_owned(),
            ),
            Self::TableNotFound { similar, .. } => similar
                .as_ref()
                .map(|name| format!("Perhaps you meant the table '{name}'")),
            _ => None,
        }
    }
}

impl RangeFault {
    fn details(self) -> String {
        match self {
            Self::NegativeLimit => "Limit should be greater than or equal to zero.".to_owned(),
            Self::LowerGreaterThanUpper => {
                "The lower boundary must be lower than or equal to the upper boundary in the Range header."
                    .to_owned()
            }
            Self::OutOfBounds { offset, total } => format!(
                "An offset of {offset} was requested, but there are only {total} rows."
            ),
        }
    }
}

impl RelationshipCandidate {
    fn json(&self) -> Value {
        json!({
            "cardinality": self.cardinality,
            "embedding": self.embedding,
            "relationship": self.relationship,
        })
    }
}

impl MissingRoutine {
    /// Whether only the one unnamed parameter could have matched.
    fn is_raw(&self) -> bool {
        !matches!(self.single, SingleParameter::None | SingleParameter::Json)
    }

    fn message(&self) -> String {
        let arguments = if self.is_raw() {
            String::new()
        } else if self.arguments.is_empty() {
            " without parameters".to_owned()
        } else {
            format!("({})", self.arguments.join(", "))
        };
        format!(
            "Could not find the function {}.{}{arguments} in the schema cache",
            self.schema, self.name
        )
    }

    fn details(&self) -> String {
        let named = match self.arguments.as_slice() {
            [] => " without parameters".to_owned(),
            [one] => format!(" with parameter {one}"),
            many => format!(" with parameters {}", many.join(", ")),
        };
        let searched = match self.single {
            SingleParameter::None => named,
            SingleParameter::Json => {
                format!("{named} or with a single unnamed json/jsonb parameter")
            }
            SingleParameter::Text => " with a single unnamed text parameter".to_owned(),
            SingleParameter::Xml => " with a single unnamed xml parameter".to_owned(),
            SingleParameter::Bytes => " with a single unnamed bytea parameter".to_owned(),
        };
        format!(
            "Searched for the function {}.{}{searched}, but no matches were found in the schema cache.",
            self.schema, self.name
        )
    }

    fn hint(&self) -> Option<String> {
        let similar = self.similar.as_ref().filter(|_| !self.is_raw())?;
        Some(format!("Perhaps you meant to call the function {similar}"))
    }
}
