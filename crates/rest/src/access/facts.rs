//! What the catalogs say, as `sql/*.sql` write it.

use pg::catalog::QualifiedName;
use serde::Deserialize;
use serde_json::{Value, json};

/// The role whose access is explained.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct RoleFacts {
    pub(super) superuser: bool,
    pub(super) bypasses_rls: bool,
    /// The server's login role may become it.
    pub(super) reachable: bool,
    pub(super) login: String,
    pub(super) member_of: Vec<String>,
    /// The claims have an `exp` that has passed.
    pub(super) expired: bool,
}

/// A table or view, as it is for one role.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct RelationFacts {
    pub(super) schema: String,
    pub(super) name: String,
    /// The role that all of this is about: the subject, or a view's owner.
    pub(super) role: String,
    /// `pg_class.relkind`
    kind: char,
    pub(super) owner: String,
    pub(super) owned: bool,
    pub(super) bypasses_rls: bool,
    pub(super) schema_usage: bool,
    pub(super) privileges: Privileges,
    pub(super) columns: Vec<ColumnFacts>,
    pub(super) rls: bool,
    pub(super) forced: bool,
    pub(super) policies: Vec<PolicyFacts>,
    pub(super) security_invoker: bool,
    pub(super) stands_on: Vec<Below>,
    pub(super) triggers: Vec<TriggerFacts>,
}

/// Privileges on the whole relation.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Privileges {
    pub(super) select: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct ColumnFacts {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) data_type: String,
    pub(super) select: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) generated: bool,
    pub(super) identity: bool,
    pub(super) default: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PolicyFacts {
    pub(super) name: String,
    pub(super) permissive: bool,
    pub(super) command: String,
    pub(super) roles: Vec<String>,
    /// To the role that the facts are about.
    pub(super) applies: bool,
    pub(super) using: Option<String>,
    pub(super) check: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Below {
    pub(super) schema: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct TriggerFacts {
    pub(super) name: String,
    pub(super) insert: bool,
    pub(super) update: bool,
}

/// One overload of a function.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct FunctionFacts {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) signature: String,
    pub(super) names: Vec<String>,
    pub(super) arguments: usize,
    pub(super) owner: String,
    pub(super) owner_bypasses_rls: bool,
    pub(super) security_definer: bool,
    pub(super) search_path_fixed: bool,
    pub(super) schema_usage: bool,
    pub(super) execute: bool,
}

impl RelationFacts {
    pub(super) fn is_view(&self) -> bool {
        self.kind == 'v'
    }

    pub(super) fn is_materialized(&self) -> bool {
        self.kind == 'm'
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            'v' => "view",
            'm' => "materialized view",
            'f' => "foreign table",
            _ => "table",
        }
    }

    /// Whether policies decide for this role, and why (not).
    pub(super) fn row_security(&self) -> (bool, String) {
        let role = &self.role;
        if self.is_view() {
            return (false, "a view has no policies of its own".to_owned());
        }
        if !self.rls {
            return (false, "row level security is off".to_owned());
        }
        if self.bypasses_rls {
            return (false, format!("{role} bypasses row level security"));
        }
        if self.owned && !self.forced {
            return (
                false,
                format!("{role} has the rights of the owner, {}", self.owner),
            );
        }
        let why = if self.owned {
            "row level security is on and forced upon the owner"
        } else {
            "row level security is on"
        };
        (true, why.to_owned())
    }

    /// The column that most likely says whose row it is.
    pub(super) fn owner_column(&self) -> Option<&str> {
        const NAMES: [&str; 7] = [
            "user_id",
            "owner_id",
            "owner",
            "created_by",
            "author_id",
            "profile_id",
            "account_id",
        ];
        NAMES.iter().copied().find(|name| {
            let is_it = |column: &ColumnFacts| column.name == *name && column.data_type == "uuid";
            self.columns.iter().any(is_it)
        })
    }

    pub(super) fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The parameter of `sql/relations.sql`.
pub(super) fn targets<'a>(wanted: impl Iterator<Item = (&'a QualifiedName, &'a str)>) -> String {
    let targets: Vec<Value> = wanted
        .map(|(name, role)| json!({"schema": *name.schema, "name": *name.name, "role": role}))
        .collect();
    Value::Array(targets).to_string()
}
