//! The functions that templates may call.

use std::cmp::Ordering;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stays in a part of an address.
pub(super) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Not,
    Len,
    Index,
    Print,
    Printf,
    /// Escaping is done at the end anyway, once.
    Html,
    UrlQuery,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "and" => Self::And,
            "or" => Self::Or,
            "not" => Self::Not,
            "len" => Self::Len,
            "index" => Self::Index,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "html" => Self::Html,
            "urlquery" => Self::UrlQuery,
            _ => return None,
        })
    }

    pub(super) fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge => arguments == 2,
            Self::Eq => arguments >= 2,
            Self::Not | Self::Len => arguments == 1,
            Self::And | Self::Or | Self::Index | Self::Printf | Self::Html | Self::UrlQuery => {
                arguments >= 1
            }
            Self::Print => true,
        }
    }

    pub(super) fn call(self, mut arguments: Vec<Value>) -> Result<Value, String> {
        let compared = |arguments: &[Value]| match arguments {
            [a, b] => compare(a, b),
            _ => None,
        };
        Ok(match self {
            Self::Eq => match arguments.split_first() {
                Some((first, others)) => others.iter().any(|other| same(first, other)).into(),
                None => false.into(),
            },
            Self::Ne => match arguments.as_slice() {
                [a, b] => (!same(a, b)).into(),
                _ => false.into(),
            },
            Self::Lt => (compared(&arguments) == Some(Ordering::Less)).into(),
            Self::Le => compared(&arguments).is_some_and(Ordering::is_le).into(),
            Self::Gt => (compared(&arguments) == Some(Ordering::Greater)).into(),
            Self::Ge => compared(&arguments).is_some_and(Ordering::is_ge).into(),
            Self::And => first_or_last(arguments, |value| !is_true(value)),
            Self::Or => first_or_last(arguments, is_true),
            Self::Not => (!arguments.first().is_some_and(is_true)).into(),
            Self::Len => match arguments.first() {
                Some(Value::String(text)) => text.len().into(),
                Some(Value::Array(items)) => items.len().into(),
                Some(Value::Object(items)) => items.len().into(),
                Some(Value::Null) | None => 0.into(),
                Some(_) => return Err("len of something that has no length".to_owned()),
            },
            Self::Index => {
                let keys = arguments.split_off(1);
                let start = arguments.pop().unwrap_or_default();
                keys.iter().fold(start, |value, key| element(&value, key))
            }
            Self::Print | Self::Html => all(&arguments).into(),
            Self::UrlQuery => utf8_percent_encode(&all(&arguments), UNRESERVED)
                .to_string()
                .into(),
            Self::Printf => printf(&arguments)?.into(),
        })
    }
}

fn all(values: &[Value]) -> String {
    values.iter().map(shown).collect()
}

fn first_or_last(mut values: Vec<Value>, wanted: impl Fn(&Value) -> bool) -> Value {
    match values.iter().position(wanted) {
        Some(at) => values.swap_remove(at),
        None => values.pop().unwrap_or_default(),
    }
}

/// Go's truth: not false, zero, nil or empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// A value as text; what is missing is empty.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(_), Some(_)) => compare(a, b) == Some(Ordering::Equal),
        _ => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn element(value: &Value, key: &Value) -> Value {
    let found = match key {
        Value::String(name) => value.get(name),
        Value::Number(at) => at
            .as_u64()
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| value.get(at)),
        _ => None,
    };
    found.cloned().unwrap_or_default()
}

/// `%s`, `%v`, `%d`, `%q` and `%%`.
fn printf(arguments: &[Value]) -> Result<String, String> {
    let (format, mut values) = match arguments.split_first() {
        Some((Value::String(format), values)) => (format, values.iter()),
        _ => return Err("printf needs a format".to_owned()),
    };
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some('s' | 'v' | 'd') => out.push_str(&values.next().map(shown).unwrap_or_default()),
            Some('q') => {
                let text = values.next().map(shown).unwrap_or_default();
                out.push_str(&Value::String(text).to_string());
            }
            other => {
                let verb = other.map(String::from).unwrap_or_default();
                return Err(format!("printf does not know %{verb}"));
            }
        }
    }
    Ok(out)
}
