//! One object as one row of VALUES: what most inserts are. Its values go as
//! parameters of the columns' types, which spares Postgres a function scan.
//!
//! Only where that means the same as `json_to_record`: every type here reads
//! the text of a JSON string, number or boolean as that function does.

use std::collections::HashMap;

use pg::Param;
use serde_json::value::RawValue;

use crate::call::payload::Shape;
use crate::plan::mutate::Body;
use crate::plan::tree::BodyColumn;

/// Types whose input is the text of a JSON scalar.
const SCALARS: [&str; 15] = [
    "bigint",
    "boolean",
    "character varying",
    "date",
    "double precision",
    "integer",
    "numeric",
    "real",
    "smallint",
    "text",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
    "uuid",
    "citext",
];

/// The values of `columns` in order; `None` when the body has to go through
/// `json_to_record`.
pub(super) fn of(body: &Body, columns: &[BodyColumn]) -> Option<Vec<Param>> {
    if body.shape != Shape::Object || body.defaults || columns.is_empty() {
        return None;
    }
    let object: HashMap<String, &RawValue> = serde_json::from_str(body.text.as_str()).ok()?;
    columns
        .iter()
        .map(|column| value(column, object.get(&column.name).map_or("null", |v| v.get())))
        .collect()
}

fn value(column: &BodyColumn, json: &str) -> Option<Param> {
    if column.transform.is_some() {
        return None;
    }
    if json == "null" {
        return Some(None);
    }
    if matches!(column.data_type.as_str(), "json" | "jsonb") {
        return Some(Some(json.to_owned()));
    }
    // `character varying(20)` is `character varying`.
    let name = column.data_type.split('(').next().unwrap_or_default();
    if !SCALARS.contains(&name) {
        return None;
    }
    match json.as_bytes().first()? {
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            // A null byte cannot travel in a parameter; `json_to_record`
            // refuses it in the dialect's words.
            (!text.contains('\0')).then_some(Some(text))
        }
        b'{' | b'[' => None,
        _ => Some(Some(json.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::payload::Text;

    fn column(name: &str, data_type: &str) -> BodyColumn {
        BodyColumn {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            transform: None,
            default: None,
        }
    }

    fn values(json: &str, columns: &[BodyColumn]) -> Option<Vec<Param>> {
        let body = Body {
            text: Text::from(json.to_owned()),
            shape: Shape::Object,
            defaults: false,
        };
        of(&body, columns)
    }

    #[test]
    fn scalars_become_their_text() {
        let columns = [
            column("a", "text"),
            column("b", "numeric(10,2)"),
            column("c", "jsonb"),
            column("missing", "integer"),
        ];
        let found = values(
            r#"{"a":"x\n\u00e9","b":1.50,"c":{"k":[1]},"a2":1}"#,
            &columns,
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            Some(vec![text("x\né"), text("1.50"), text(r#"{"k":[1]}"#), None])
        );
    }

    #[test]
    fn what_may_mean_something_else_goes_the_other_way() {
        for (json, data_type) in [
            (r#"{"a":[1,2]}"#, "integer[]"),
            (r#"{"a":"{1,2}"}"#, "integer[]"),
            (r#"{"a":{"x":1}}"#, "text"),
            (r#"{"a":"\u0000"}"#, "text"),
            (r#"{"a":"x"}"#, "character(5)"),
            (r#"{"a":"x"}"#, "public.mood"),
        ] {
            assert_eq!(values(json, &[column("a", data_type)]), None, "{json}");
        }
    }
}
