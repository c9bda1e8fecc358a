//! Types of Postgres as types of JSON, which are fewer: the rest of what is
//! known goes into `format`.

use serde_json::value::RawValue;

use super::swagger::{Kind, Referenced, Schema};

/// The type of JSON; `None` is any.
pub(super) fn kind(data_type: &str) -> Option<Kind> {
    match data_type {
        "json" | "jsonb" => None,
        "boolean" => Some(Kind::Boolean),
        "smallint" | "integer" | "bigint" => Some(Kind::Integer),
        "numeric" | "real" | "double precision" => Some(Kind::Number),
        other if other.ends_with("[]") => Some(Kind::Array),
        _ => Some(Kind::String),
    }
}

/// Swagger's name where it has one for a width, otherwise Postgres' own.
pub(super) fn format(data_type: &str) -> &str {
    match data_type {
        "smallint" | "integer" => "int32",
        "bigint" => "int64",
        other => other,
    }
}

/// The type of an array's elements.
pub(super) fn element(data_type: &str) -> Option<&str> {
    data_type.strip_suffix("[]")
}

/// A value of this type.
pub(super) fn schema(data_type: &str) -> Schema<'_> {
    let items = element(data_type).map(|element| {
        Box::new(Referenced::Inline(Schema {
            kind: kind(element),
            ..Schema::default()
        }))
    });
    Schema {
        kind: kind(data_type),
        format: Some(format(data_type)),
        items,
        ..Schema::default()
    }
}

/// A column's default, when its expression is a constant that reads as JSON.
/// Everything else (`now()`, `nextval(…)`) is the database's own business.
pub(super) fn default(data_type: &str, expression: &str) -> Option<Box<RawValue>> {
    let json = if kind(data_type) == Some(Kind::String) {
        let constant = expression
            .strip_suffix(data_type)
            .and_then(|rest| rest.strip_suffix("::"))
            .map_or(expression, |constant| constant.trim_matches('\''));
        format!("\"{constant}\"")
    } else {
        expression.to_owned()
    };
    RawValue::from_string(json).ok()
}
