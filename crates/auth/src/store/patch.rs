//! Changes to a row of `auth.users`, column by column.

use jiff::Timestamp;
use pg::SqlBuf;
use serde_json::{Map, Value};
use uuid::Uuid;

/// What to change.
#[derive(Debug)]
pub(crate) struct UserPatch(SqlBuf);

impl UserPatch {
    /// Nothing yet but the moment of the change.
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut sql = SqlBuf::new();
        sql.lit("UPDATE auth.users SET updated_at = ")
            .param(now.to_string())
            .lit("::timestamptz");
        Self(sql)
    }

    /// A text; columns of tokens hold the empty text and not NULL.
    pub(crate) fn text(mut self, column: &'static str, value: &str) -> Self {
        self.0
            .lit(", ")
            .lit(column)
            .lit(" = ")
            .param(value.to_owned());
        self
    }

    /// A text, or NULL.
    pub(crate) fn optional(mut self, column: &'static str, value: Option<&str>) -> Self {
        let value = value.map(str::to_owned);
        self.0.lit(", ").lit(column).lit(" = ").param(value);
        self
    }

    /// A moment, or NULL.
    pub(crate) fn at(self, column: &'static str, at: Option<Timestamp>) -> Self {
        self.optional(column, at.map(|at| at.to_string()).as_deref())
    }

    /// An object.
    pub(crate) fn object(self, column: &'static str, value: &Map<String, Value>) -> Self {
        let text = Value::Object(value.clone()).to_string();
        self.text(column, &text)
    }

    /// A flag.
    pub(crate) fn flag(self, column: &'static str, value: bool) -> Self {
        self.text(column, if value { "true" } else { "false" })
    }

    /// A number.
    pub(crate) fn number(self, column: &'static str, value: i64) -> Self {
        self.text(column, &value.to_string())
    }

    /// The statement for one user.
    pub(crate) fn of(mut self, id: Uuid) -> SqlBuf {
        self.0.lit(" WHERE id = ").param(id.to_string());
        self.0
    }
}
