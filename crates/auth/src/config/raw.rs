//! Finds a setting in the file's section or in the environment. Values that
//! came through `env(NAME)` are texts, so numbers and flags are read from
//! texts as well.

use std::time::Duration;

use serde_json::Value;

use super::ConfigError;

/// GoTrue's variables begin so.
const PREFIX: &str = "GOTRUE_";

/// A refusal of one setting.
pub(super) fn wrong(path: &str, expected: &'static str) -> ConfigError {
    ConfigError {
        path: path.to_owned(),
        expected,
    }
}

/// What was said, unchecked.
pub(super) struct Raw<'a> {
    section: &'a Value,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Raw<'a> {
    pub(super) fn new(section: &'a Value, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { section, env }
    }

    /// What the file has below a dotted path.
    pub(super) fn node(&self, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(self.section, |value, part| value.get(part))
    }

    /// A variable; one that is empty was not set. The address of the API is
    /// the only one without the prefix.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        (self.env)(&format!("{PREFIX}{name}"))
            .or_else(|| name.starts_with("API_").then(|| (self.env)(name))?)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn text(&self, path: &str, name: &str) -> Option<String> {
        self.variable(name)
            .or_else(|| match self.node(path)? {
                Value::String(text) => Some(text.trim().to_owned()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(flag) => Some(flag.to_string()),
                _ => None,
            })
            .filter(|text| !text.is_empty())
    }

    pub(super) fn text_or(&self, path: &str, name: &str, default: &str) -> String {
        self.text(path, name).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn list(&self, path: &str, name: &str) -> Vec<String> {
        let split = |text: &str| {
            let items = text.split(',').map(|item| item.trim().to_owned());
            items.filter(|item| !item.is_empty()).collect()
        };
        if let Some(text) = self.variable(name) {
            return split(&text);
        }
        match self.node(path) {
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
            Some(Value::String(text)) => split(text),
            _ => Vec::new(),
        }
    }

    pub(super) fn flag(&self, path: &str, name: &str, default: bool) -> Result<bool, ConfigError> {
        match self.text(path, name).as_deref() {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(_) => Err(wrong(path, "true or false")),
        }
    }

    /// A flag that the file and the environment say the other way round.
    pub(super) fn negated(&self, path: &str, name: &str) -> Result<bool, ConfigError> {
        if self.variable(name).is_some() {
            return self.flag("", name, false);
        }
        Ok(!self.flag(path, "", true)?)
    }

    pub(super) fn number(&self, path: &str, name: &str) -> Result<Option<u64>, ConfigError> {
        match self.text(path, name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(path, "a whole number")),
            },
        }
    }

    /// A span as Go writes it: `1h30m`, `10s`, `500ms`; none when zero.
    pub(super) fn span(&self, path: &str, name: &str) -> Result<Option<Duration>, ConfigError> {
        match self.text(path, name) {
            None => Ok(None),
            Some(text) => match crate::span::parse(&text) {
                Some(span) => Ok(Some(span).filter(|span| !span.is_zero())),
                None => Err(wrong(path, "a time such as 500ms, 30s or 24h")),
            },
        }
    }
}
