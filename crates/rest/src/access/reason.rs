//! A reason why something is refused or hidden, with the statements that
//! would change it. Statements are suggestions for a person to read: nothing
//! here is ever run.

use serde::Serialize;

use super::facts::{PolicyFacts, RelationFacts};

/// Why a request of the subject does not do what it seems to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// For programs; `docs/access.md` lists them.
    pub(super) code: &'static str,
    /// The relation or function, as the request calls it.
    pub(super) on: String,
    pub(super) message: String,
    /// What would change it; any one of them does, unless they say otherwise.
    pub(super) change: Vec<Change>,
    /// It ends the request with an error, instead of hiding rows.
    #[serde(skip)]
    pub(super) refuses: bool,
}

/// One way to change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// A statement, where one helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sql: Option<String>,
    /// What it does.
    pub(super) effect: String,
}

impl Change {
    pub(super) fn sql(sql: String, effect: impl Into<String>) -> Self {
        Self {
            sql: Some(sql),
            effect: effect.into(),
        }
    }

    pub(super) fn advice(effect: impl Into<String>) -> Self {
        Self {
            sql: None,
            effect: effect.into(),
        }
    }
}

/// A name as SQL takes it, quoted only where it has to be.
pub(super) fn ident(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that are no names without quotes and that tables and columns are
/// called all the same.
const RESERVED: [&str; 24] = [
    "all",
    "analyse",
    "analyze",
    "array",
    "case",
    "check",
    "column",
    "default",
    "desc",
    "end",
    "for",
    "from",
    "grant",
    "group",
    "limit",
    "offset",
    "order",
    "references",
    "select",
    "table",
    "to",
    "union",
    "user",
    "when",
];

/// `schema.name`
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

impl RelationFacts {
    pub(super) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// The policy that is most likely meant, as a statement.
    pub(super) fn new_policy(&self, command: &str, signed_in: bool) -> Change {
        let owner = self.owner_column().filter(|_| signed_in);
        let (condition, effect) = match owner {
            Some(column) => (
                format!("(SELECT auth.uid()) = {}", ident(column)),
                format!(
                    "lets {} {command} the rows whose {column} is their own id",
                    self.role
                ),
            ),
            None => (
                "true".to_owned(),
                format!(
                    "lets {} {command} {} row; put a condition in place of true to narrow it",
                    self.role,
                    if command == "insert" { "any" } else { "every" }
                ),
            ),
        };
        let clause = match command {
            "insert" => format!("WITH CHECK ({condition})"),
            "update" => format!("USING ({condition}) WITH CHECK ({condition})"),
            _ => format!("USING ({condition})"),
        };
        let name = self.free_name(&format!("{} may {command}", self.role));
        let (table, role) = (self.sql_name(), ident(&self.role));
        let command = command.to_uppercase();
        Change::sql(
            format!("CREATE POLICY {name} ON {table} FOR {command} TO {role} {clause};"),
            effect,
        )
    }

    /// A name that no policy of the relation has.
    fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.policies.iter().any(|policy| policy.name == name);
        let numbered = (2..).map(|n| format!("{wanted} {n}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        ident(&names.find(|name| !taken(name)).unwrap_or_default())
    }

    pub(super) fn policy_for_role(&self, policy: &PolicyFacts) -> Change {
        let mut roles: Vec<String> = policy.roles.iter().map(|role| ident(role)).collect();
        roles.push(ident(&self.role));
        let (name, table) = (ident(&policy.name), self.sql_name());
        Change::sql(
            format!("ALTER POLICY {name} ON {table} TO {};", roles.join(", ")),
            format!("applies the policy to {}, too", self.role),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_have_to_be() {
        assert_eq!(qualified("public", "to_dos"), "public.to_dos");
        assert_eq!(qualified("Odd", "a\"b"), "\"Odd\".\"a\"\"b\"");
        assert_eq!(ident("user"), "\"user\"");
        assert_eq!(ident("1st"), "\"1st\"");
    }
}
