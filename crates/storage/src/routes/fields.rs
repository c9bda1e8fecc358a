//! Reading JSON bodies and queries as the official server's validator does,
//! with its sentences: clients show them. Numbers and booleans in quotes count,
//! as there.

use serde_json::{Map, Value};

use crate::error::{Result, StorageError};

/// An object, and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    place: String,
    values: Value,
}

impl Fields {
    pub(crate) fn new(place: &str, values: Value) -> Self {
        Self {
            place: place.to_owned(),
            values,
        }
    }

    /// The parameters of an address.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into()));
        Self::new("querystring", Value::Object(pairs.collect::<Map<_, _>>()))
    }

    /// Refuses what is no object.
    pub(crate) fn object(self) -> Result<Self> {
        if self.values.is_object() {
            return Ok(self);
        }
        Err(StorageError::malformed(format!(
            "{} must be object",
            self.place
        )))
    }

    /// A field, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn wrong(&self, name: &str, what: &str) -> StorageError {
        StorageError::malformed(format!("{}/{name} {what}", self.place))
    }

    fn required<T>(&self, name: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| {
            let place = &self.place;
            StorageError::malformed(format!("{place} must have required property '{name}'"))
        })
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Null) => Ok(Some(String::new())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(self.wrong(name, "must be string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn must_text(&self, name: &str) -> Result<String> {
        self.required(name, self.text(name)?)
    }

    /// One of a few texts.
    pub(crate) fn choice(&self, name: &str, of: &[&str]) -> Result<Option<String>> {
        let text = self.text(name)?;
        if text.as_deref().is_some_and(|text| !of.contains(&text)) {
            return Err(self.wrong(name, "must be equal to one of the allowed values"));
        }
        Ok(text)
    }

    /// Yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::Null) => Ok(Some(false)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(self.wrong(name, "must be boolean")),
        }
    }

    /// A whole number of at least this.
    pub(crate) fn number(&self, name: &str, least: u64) -> Result<Option<u64>> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let whole = number.filter(|number| number.is_finite() && number.fract() == 0.0);
        let whole = whole.ok_or_else(|| self.wrong(name, "must be integer"))?;
        #[expect(clippy::cast_precision_loss, reason = "limits here are small")]
        let enough = whole >= least as f64;
        if !enough {
            return Err(self.wrong(name, &format!("must be >= {least}")));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and not negative; `as` stops at the last number"
        )]
        Ok(Some(whole as u64))
    }

    /// The same, which must be there.
    pub(crate) fn must_number(&self, name: &str, least: u64) -> Result<u64> {
        self.required(name, self.number(name, least)?)
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let list = match self.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                std::slice::from_ref(one)
            }
            Some(Value::Object(_)) => return Err(self.wrong(name, "must be array")),
        };
        let text = |(index, value): (usize, &Value)| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            _ => Err(self.wrong(&format!("{name}/{index}"), "must be string")),
        };
        list.iter()
            .enumerate()
            .map(text)
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The same with something in it, which must be there.
    pub(crate) fn must_texts(&self, name: &str) -> Result<Vec<String>> {
        let texts = self.required(name, self.texts(name)?)?;
        if texts.is_empty() {
            return Err(self.wrong(name, "must NOT have fewer than 1 items"));
        }
        Ok(texts)
    }

    /// An object within it.
    pub(crate) fn inner(&self, name: &str) -> Result<Option<Self>> {
        let place = format!("{}/{name}", self.place);
        match self.get(name) {
            None => Ok(None),
            Some(values) => Self::new(&place, values.clone()).object().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let fields = Fields::new(
            "body",
            json!({"a": 1, "b": "7", "c": "x", "d": {}, "e": ["x", {}]}),
        );
        let said = |result: Result<String>| result.expect_err("a refusal").message().to_owned();
        assert_eq!(fields.must_text("a").ok().as_deref(), Some("1"));
        assert_eq!(fields.number("b", 1).ok(), Some(Some(7)));
        assert_eq!(
            said(fields.must_text("z")),
            "body must have required property 'z'"
        );
        assert_eq!(said(fields.must_text("d")), "body/d must be string");
        let number = |name, least| fields.must_number(name, least).map(|n| n.to_string());
        assert_eq!(said(number("c", 0)), "body/c must be integer");
        assert_eq!(said(number("b", 8)), "body/b must be >= 8");
        let texts = |name| fields.must_texts(name).map(|list| list.concat());
        assert_eq!(said(texts("e")), "body/e/1 must be string");
    }
}
