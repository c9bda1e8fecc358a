//! CSV with a header line becomes a `JSON` array of objects of strings, where
//! the unquoted or quoted word `NULL` is null.

use std::collections::BTreeSet;

use crate::error::RestError;

/// The array's text and the keys of its objects.
pub(super) fn to_json(text: &str) -> Result<(String, BTreeSet<String>), RestError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(true)
        .flexible(true)
        .from_reader(text.as_bytes());
    let broken = |_| RestError::InvalidBody("parse error in CSV".to_owned());
    let header = reader.headers().map_err(broken)?.clone();
    if header.is_empty() {
        let message = "parse error (not enough input) at \"\"";
        return Err(RestError::InvalidBody(message.to_owned()));
    }
    let names: Vec<String> = header.iter().map(quoted).collect();
    let mut rows = String::with_capacity(text.len() * 2);
    rows.push('[');
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        if record.len() < names.len() {
            let message = "All lines must have same number of fields";
            return Err(RestError::InvalidBody(message.to_owned()));
        }
        rows.push_str(if rows.len() == 1 { "{" } else { ",{" });
        for (index, (name, value)) in names.iter().zip(record.iter()).enumerate() {
            if index > 0 {
                rows.push(',');
            }
            rows.push_str(name);
            rows.push(':');
            if value == "NULL" {
                rows.push_str("null");
            } else {
                rows.push_str(&quoted(value));
            }
        }
        rows.push('}');
    }
    rows.push(']');
    let no_rows = rows == "[]";
    let keys = header.iter().filter(|_| !no_rows).map(str::to_owned);
    let keys = keys.collect();
    Ok((rows, keys))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
