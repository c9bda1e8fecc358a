//! What types are called and how their values become JSON.

use std::collections::HashMap;

use crate::catalog::model::{JsonShape, QualifiedName};
use crate::catalog::raw::{Oid, RawType};

/// How many domains may stand on one another before we stop looking.
const NESTING_MAX: usize = 64;

const VARCHAR: Oid = 1043;
const BPCHAR: Oid = 1042;
const BIT: Oid = 1560;
const VARBIT: Oid = 1562;

/// The types by OID.
pub(super) struct Types {
    by_id: HashMap<Oid, RawType>,
}

impl Types {
    pub(super) fn new(types: Vec<RawType>) -> Self {
        Self {
            by_id: types.into_iter().map(|t| (t.id, t)).collect(),
        }
    }

    pub(super) fn get(&self, id: Oid) -> Option<&RawType> {
        self.by_id.get(&id)
    }

    /// The type below all domains.
    pub(super) fn base(&self, id: Oid) -> Option<&RawType> {
        let mut found = self.by_id.get(&id)?;
        for _ in 0..NESTING_MAX {
            if found.base == 0 {
                break;
            }
            found = self.by_id.get(&found.base)?;
        }
        Some(found)
    }

    /// The name as `format_type` writes it.
    pub(super) fn formatted(&self, id: Oid) -> String {
        self.get(id)
            .map_or_else(|| "unknown".to_owned(), |t| t.formatted.clone())
    }

    /// The type without modifier, and without the domain when that stands on a
    /// type of Postgres itself. `nominal` is the declared type.
    pub(super) fn data_type(&self, id: Oid, nominal: &str) -> String {
        let Some(declared) = self.get(id) else {
            return nominal.to_owned();
        };
        let plain = if declared.kind == 'd' {
            self.base(id)
        } else {
            Some(declared)
        };
        match plain {
            Some(plain) if &*plain.schema == "pg_catalog" => plain.formatted.clone(),
            _ => nominal.to_owned(),
        }
    }

    /// `n` of `varchar(n)`, `char(n)`, `bit(n)` and domains directly over them.
    pub(super) fn max_length(&self, id: Oid, modifier: i32) -> Option<i32> {
        let (id, modifier) = match self.get(id) {
            Some(domain) if domain.kind == 'd' => (domain.base, domain.modifier),
            _ => (id, modifier),
        };
        match id {
            _ if modifier < 0 => None,
            // The modifier counts the 4 bytes of the length word.
            VARCHAR | BPCHAR => Some(modifier - 4),
            BIT | VARBIT => Some(modifier),
            _ => None,
        }
    }

    /// Like `to_json` decides: by the type below all domains. Casts of a domain
    /// itself do not count there; they are data representations.
    pub(super) fn json(&self, id: Oid) -> JsonShape {
        match self.base(id) {
            // Arrays are category A, also `int2vector`; pseudo types such as
            // `record` and `anyelement` may turn out to be anything.
            Some(t) if t.category != 'A' && !matches!(t.kind, 'c' | 'p') && !t.json_cast => {
                JsonShape::Direct
            }
            _ => JsonShape::ToJson,
        }
    }

    pub(super) fn qualified(found: &RawType) -> QualifiedName {
        QualifiedName::new(found.schema.clone(), found.name.clone())
    }
}
