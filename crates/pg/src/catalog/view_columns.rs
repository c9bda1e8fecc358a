//! Where a view's columns come from, read off the stored query tree.
//!
//! Postgres notes for every output column of a query the relation and column
//! it was taken from unchanged (`resorigtbl`, `resorigcol`), also through
//! joins, subqueries and CTEs. The relation may be a view again, so
//! [`Origins`] walks down to tables. The tree is text in the format of
//! `nodeToString`: nodes in braces, fields as `:name value`, and a backslash
//! before every special character of a name, so braces can be counted.

use std::collections::{BTreeMap, HashMap};

use crate::catalog::raw::{Oid, StoredView};

/// How many views may stand on one another. Deeper ones keep working but get
/// no relationships; without a limit a view on itself would never end.
const NESTING_MAX: usize = 64;

/// One output column of a view that is a plain column of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetEntry {
    /// Its number in the view.
    pub(super) number: i16,
    /// The relation it comes from.
    pub(super) relation: Oid,
    /// The column's number there.
    pub(super) column: i16,
}

/// The target list of the outermost query. Entries that are expressions have
/// no origin and are left out.
pub(super) fn target_list(tree: &str) -> Vec<TargetEntry> {
    let bytes = tree.as_bytes();
    let mut entries = Vec::new();
    // Depth 1 is the query, depth 2 one of its parts. A target entry's own
    // fields may be cut in two by the expression's node, so they are collected.
    let (mut depth, mut position) = (0_usize, 0_usize);
    let (mut inside, mut own, mut start) = (false, String::new(), 0_usize);
    while let Some(offset) =
        memchr::memchr3(b'{', b'}', b'\\', bytes.get(position..).unwrap_or(&[]))
    {
        let at = position + offset;
        position = at + 1;
        match bytes.get(at) {
            // Whatever follows is part of a name.
            Some(b'\\') => position += 1,
            Some(b'{') => {
                depth += 1;
                if depth == 2 {
                    inside = tree
                        .get(at..)
                        .is_some_and(|rest| rest.starts_with("{TARGETENTRY "));
                    own.clear();
                    start = at;
                } else if depth == 3 && inside {
                    own.push_str(tree.get(start..at).unwrap_or_default());
                }
            }
            _ => {
                if depth == 3 && inside {
                    start = position;
                } else if depth == 2 && inside {
                    own.push_str(tree.get(start..at).unwrap_or_default());
                    entries.extend(target_entry(&own));
                } else if depth == 1 {
                    // The first action of the rule is the view's query.
                    break;
                }
                depth = depth.saturating_sub(1);
            }
        }
    }
    entries
}

fn target_entry(fields: &str) -> Option<TargetEntry> {
    let entry = TargetEntry {
        number: field(fields, " :resno ")?,
        relation: field(fields, " :resorigtbl ")?,
        column: field(fields, " :resorigcol ")?,
    };
    (entry.relation != 0 && entry.column > 0).then_some(entry)
}

fn field<T: std::str::FromStr>(fields: &str, name: &str) -> Option<T> {
    let (_, rest) = fields.split_once(name)?;
    rest.split(' ').next()?.parse().ok()
}

/// The origins of all stored views.
pub(super) struct Origins {
    views: HashMap<Oid, HashMap<i16, (Oid, i16)>>,
}

impl Origins {
    pub(super) fn new(views: &[StoredView]) -> Self {
        let views = views
            .iter()
            .map(|view| {
                let columns = view.columns.iter();
                let columns = columns.map(|entry| (entry.number, (entry.relation, entry.column)));
                (view.id, columns.collect())
            })
            .collect();
        Self { views }
    }

    /// The view's column numbers by the table column they show. A column may
    /// be shown several times.
    pub(super) fn of(&self, view: Oid) -> BTreeMap<(Oid, i16), Vec<i16>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let Some(columns) = self.views.get(&view) else {
            return found;
        };
        for (number, origin) in columns {
            if let Some(origin) = self.table_column(*origin) {
                found.entry(origin).or_default().push(*number);
            }
        }
        for numbers in found.values_mut() {
            numbers.sort_unstable();
        }
        found
    }

    fn table_column(&self, mut origin: (Oid, i16)) -> Option<(Oid, i16)> {
        for _ in 0..NESTING_MAX {
            match self.views.get(&origin.0) {
                Some(view) => origin = *view.get(&origin.1)?,
                None => return Some(origin),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_plain_columns_count() {
        let tree = r"({QUERY :rtable ({RTE :subquery {QUERY :targetList ({TARGETENTRY :expr {VAR :varno 1} :resno 1 :resname x :resorigtbl 7 :resorigcol 7 :resjunk false})}}) :targetList ({TARGETENTRY :expr {VAR :varno 1 :vartype 23} :resno 1 :resname a\ :resno\ 9\{ :ressortgroupref 0 :resorigtbl 16385 :resorigcol 2 :resjunk false} {TARGETENTRY :expr {CONST :constvalue 4 [ 1 0 ]} :resno 2 :resname n :ressortgroupref 0 :resorigtbl 0 :resorigcol 0 :resjunk false}) :override 0})";
        let expected = TargetEntry {
            number: 1,
            relation: 16385,
            column: 2,
        };
        assert_eq!(target_list(tree), [expected]);
    }

    #[test]
    fn columns_are_followed_through_views_and_cycles_end() {
        let entry = |number, relation, column| TargetEntry {
            number,
            relation,
            column,
        };
        let origins = Origins::new(&[
            StoredView {
                id: 10,
                columns: vec![entry(1, 11, 2), entry(2, 11, 2)],
            },
            StoredView {
                id: 11,
                columns: vec![entry(2, 20, 5)],
            },
            StoredView {
                id: 12,
                columns: vec![entry(1, 12, 1)],
            },
        ]);
        assert_eq!(origins.of(10), BTreeMap::from([((20, 5), vec![1, 2])]));
        assert!(origins.of(12).is_empty());
    }
}
