//! From keys to relationships.
//!
//! A foreign key is a many-to-one, or one-to-one when its columns are unique.
//! Views inherit the keys whose columns they show ([`ViewKeys`]), at either
//! end. A junction holds two many-to-ones in its primary key and makes a
//! many-to-many. Then everything is seen from the other end as well. The
//! order of the result is part of the wire: ambiguity errors list candidates.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::catalog::model::{
    Cardinality, ForeignKeyRelationship, HashMap, Junction, QualifiedName, Relationship,
};
use crate::catalog::raw::{KeyColumn, Oid, RawKey};
use crate::catalog::view_columns::Origins;

/// Ways in which a view may show the same key, by showing one of its columns
/// several times. The product is what explodes: more are dropped.
const VIEW_KEY_VARIANTS_MAX: usize = 64;

/// A relation as far as relationships care.
pub(super) struct Node {
    pub(super) name: QualifiedName,
    pub(super) is_view: bool,
    pub(super) exposed: bool,
    /// The names of its columns by number, filled for exposed views.
    pub(super) column_names: Vec<String>,
}

/// All relations by OID.
pub(super) type Nodes = HashMap<Oid, Node>;

/// A key as an exposed view shows it.
struct ViewKey {
    view: Oid,
    /// For every column of the key, the view's columns that show it.
    columns: Vec<Vec<String>>,
}

/// The keys that exposed views show completely, by the key's place in the list
/// of keys.
pub(super) struct ViewKeys {
    /// Primary keys, by view.
    primary: HashMap<Oid, Vec<(usize, Vec<String>)>>,
    /// Foreign keys, at the end that refers.
    referring: HashMap<usize, Vec<ViewKey>>,
    /// Foreign keys, at the end that is referred to.
    referred: HashMap<usize, Vec<ViewKey>>,
}

impl ViewKeys {
    pub(super) fn new(nodes: &Nodes, keys: &[RawKey], origins: &Origins) -> Self {
        let mut found = Self {
            primary: HashMap::default(),
            referring: HashMap::default(),
            referred: HashMap::default(),
        };
        let mut ends: HashMap<Oid, Vec<(usize, bool)>> = HashMap::default();
        for (index, key) in keys.iter().enumerate() {
            if matches!(key.kind, 'p' | 'f') {
                ends.entry(key.relation).or_default().push((index, false));
            }
            if key.kind == 'f' {
                ends.entry(key.foreign_relation)
                    .or_default()
                    .push((index, true));
            }
        }
        let views = nodes
            .iter()
            .filter(|(_, node)| node.is_view && node.exposed);
        for (&view, node) in views {
            let shown = origins.of(view);
            let tables: BTreeSet<Oid> = shown.keys().map(|(table, _)| *table).collect();
            for table in tables {
                for &(index, is_referred) in ends.get(&table).into_iter().flatten() {
                    let Some(key) = keys.get(index) else { continue };
                    let columns = end_columns(key, is_referred);
                    if let Some(columns) = shown_columns(node, table, columns, &shown) {
                        found.add(view, index, key, is_referred, columns);
                    }
                }
            }
        }
        found
    }

    fn add(
        &mut self,
        view: Oid,
        index: usize,
        key: &RawKey,
        is_referred: bool,
        columns: Vec<Vec<String>>,
    ) {
        if key.kind == 'p' {
            // A client never has to name a key's column, so any copy will do.
            let first = columns.into_iter().filter_map(|c| c.into_iter().next());
            let entry = (index, first.collect());
            self.primary.entry(view).or_default().push(entry);
        } else {
            let side = if is_referred {
                &mut self.referred
            } else {
                &mut self.referring
            };
            side.entry(index)
                .or_default()
                .push(ViewKey { view, columns });
        }
    }

    /// The columns of all primary keys that the view shows.
    pub(super) fn primary_key(&self, view: Oid, nodes: &Nodes, keys: &[RawKey]) -> Vec<String> {
        let mut shown: Vec<_> = self
            .primary
            .get(&view)
            .into_iter()
            .flatten()
            .map(|(index, columns)| {
                let table = keys.get(*index).and_then(|key| nodes.get(&key.relation));
                (table.map(|node| &node.name), columns)
            })
            .collect();
        // PostgREST puts the last table's key first; `Location` shows it.
        shown.sort_by(|a, b| b.0.cmp(&a.0));
        shown
            .into_iter()
            .flat_map(|(_, columns)| columns.clone())
            .collect()
    }
}

fn end_columns(key: &RawKey, is_referred: bool) -> &[KeyColumn] {
    if is_referred {
        key.foreign_columns.as_deref().unwrap_or_default()
    } else {
        &key.columns
    }
}

/// Where the view shows each column of a key; `None` when one is missing.
fn shown_columns(
    view: &Node,
    table: Oid,
    columns: &[KeyColumn],
    shown: &BTreeMap<(Oid, i16), Vec<i16>>,
) -> Option<Vec<Vec<String>>> {
    let column_name = |number: &i16| {
        let index = usize::try_from(*number).ok()?.checked_sub(1)?;
        view.column_names.get(index).cloned()
    };
    let shown_as = |(number, _): &KeyColumn| {
        let numbers = shown.get(&(table, *number))?;
        numbers.iter().map(column_name).collect::<Option<Vec<_>>>()
    };
    columns.iter().map(shown_as).collect()
}

/// Finds all relationships between exposed relations that come from keys.
pub(super) fn from_keys(
    nodes: &Nodes,
    keys: &[RawKey],
    view_keys: &ViewKeys,
    primary_keys: &HashMap<QualifiedName, Vec<String>>,
) -> Vec<ForeignKeyRelationship> {
    let unique = unique_columns(keys);
    let mut found = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        if key.kind == 'f' && !key.inherited {
            let is_unique = unique.contains(&(key.relation, sorted_numbers(&key.columns)));
            add_key(&mut found, nodes, view_keys, (index, key, is_unique));
        }
    }
    add_many_to_many(&mut found, primary_keys);
    let inverse: Vec<_> = found.iter().filter_map(inverse).collect();
    found.extend(inverse);
    found
}

fn unique_columns(keys: &[RawKey]) -> HashSet<(Oid, Vec<i16>)> {
    keys.iter()
        .filter(|key| matches!(key.kind, 'p' | 'u'))
        .map(|key| (key.relation, sorted_numbers(&key.columns)))
        .collect()
}

fn sorted_numbers(columns: &[KeyColumn]) -> Vec<i16> {
    let mut numbers: Vec<_> = columns.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers
}

/// One end of a foreign key: the relation, and one way it shows the columns.
type End = (Oid, Vec<String>);

/// Adds a foreign key from the table and the views that show it, to the table
/// and the views that show what it refers to.
fn add_key(
    found: &mut Vec<ForeignKeyRelationship>,
    nodes: &Nodes,
    view_keys: &ViewKeys,
    (index, key, is_unique): (usize, &RawKey, bool),
) {
    let sources = key_ends(key.relation, &key.columns, view_keys.referring.get(&index));
    let targets = key_ends(
        key.foreign_relation,
        end_columns(key, true),
        view_keys.referred.get(&index),
    );
    for (source_id, source_columns) in &sources {
        for (target_id, target_columns) in &targets {
            let (Some(source), Some(target)) = (nodes.get(source_id), nodes.get(target_id)) else {
                continue;
            };
            if !source.exposed || !target.exposed {
                continue;
            }
            let constraint = key.name.clone();
            let pairs = source_columns
                .iter()
                .cloned()
                .zip(target_columns.iter().cloned());
            let columns = pairs.collect();
            found.push(ForeignKeyRelationship {
                table: source.name.clone(),
                foreign_table: target.name.clone(),
                is_self: source_id == target_id,
                cardinality: if is_unique {
                    Cardinality::OneToOne {
                        constraint,
                        columns,
                        is_parent: false,
                    }
                } else {
                    Cardinality::ManyToOne {
                        constraint,
                        columns,
                    }
                },
                table_is_view: source.is_view,
                foreign_table_is_view: target.is_view,
            });
        }
    }
}

fn key_ends(table: Oid, columns: &[KeyColumn], views: Option<&Vec<ViewKey>>) -> Vec<End> {
    let own = columns.iter().map(|(_, name)| name.clone()).collect();
    let mut ends = vec![(table, own)];
    for shown in views.into_iter().flatten() {
        ends.extend(
            variants(&shown.columns)
                .into_iter()
                .map(|columns| (shown.view, columns)),
        );
    }
    ends
}

/// Every choice of one name per column.
fn variants(columns: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for names in columns {
        let longer = all.iter().flat_map(|chosen: &Vec<String>| {
            names.iter().map(move |name| {
                let mut chosen = chosen.clone();
                chosen.push(name.clone());
                chosen
            })
        });
        all = longer.take(VIEW_KEY_VARIANTS_MAX).collect();
    }
    all
}

/// Adds a many-to-many for every two foreign keys of a table (or view) that
/// both lie in its primary key.
fn add_many_to_many(
    found: &mut Vec<ForeignKeyRelationship>,
    primary_keys: &HashMap<QualifiedName, Vec<String>>,
) {
    let mut by_junction: HashMap<&QualifiedName, Vec<KeyOut>> = HashMap::default();
    for relationship in found.iter() {
        if let Cardinality::ManyToOne {
            constraint,
            columns,
        } = &relationship.cardinality
            && let Some(primary) = primary_keys.get(&relationship.table)
            && columns.iter().all(|(ours, _)| primary.contains(ours))
        {
            let out = (relationship, constraint, columns);
            by_junction
                .entry(&relationship.table)
                .or_default()
                .push(out);
        }
    }
    let mut added = Vec::new();
    for outs in by_junction.values() {
        for source in outs {
            for target in outs.iter().filter(|target| target.1 != source.1) {
                added.push(many_to_many(*source, *target));
            }
        }
    }
    found.extend(added);
}

/// A many-to-one out of a junction, with its constraint and columns.
type KeyOut<'a> = (
    &'a ForeignKeyRelationship,
    &'a String,
    &'a Vec<(String, String)>,
);

fn many_to_many(source: KeyOut<'_>, target: KeyOut<'_>) -> ForeignKeyRelationship {
    ForeignKeyRelationship {
        table: source.0.foreign_table.clone(),
        foreign_table: target.0.foreign_table.clone(),
        is_self: source.0.foreign_table == target.0.foreign_table,
        cardinality: Cardinality::ManyToMany(Junction {
            table: source.0.table.clone(),
            constraint_source: source.1.clone(),
            constraint_target: target.1.clone(),
            columns_source: swapped(source.2),
            columns_target: swapped(target.2),
        }),
        table_is_view: source.0.foreign_table_is_view,
        foreign_table_is_view: target.0.foreign_table_is_view,
    }
}

/// The same key seen from the table it refers to. Many-to-many relationships
/// were found in both directions already.
fn inverse(relationship: &ForeignKeyRelationship) -> Option<ForeignKeyRelationship> {
    let cardinality = match &relationship.cardinality {
        Cardinality::ManyToOne {
            constraint,
            columns,
        } => Cardinality::OneToMany {
            constraint: constraint.clone(),
            columns: swapped(columns),
        },
        Cardinality::OneToOne {
            constraint,
            columns,
            is_parent,
        } => Cardinality::OneToOne {
            constraint: constraint.clone(),
            columns: swapped(columns),
            is_parent: !is_parent,
        },
        Cardinality::OneToMany { .. } | Cardinality::ManyToMany(_) => return None,
    };
    Some(ForeignKeyRelationship {
        table: relationship.foreign_table.clone(),
        foreign_table: relationship.table.clone(),
        is_self: relationship.is_self,
        cardinality,
        table_is_view: relationship.foreign_table_is_view,
        foreign_table_is_view: relationship.table_is_view,
    })
}

fn swapped(columns: &[(String, String)]) -> Vec<(String, String)> {
    columns
        .iter()
        .map(|(ours, theirs)| (theirs.clone(), ours.clone()))
        .collect()
}

/// The order in which ambiguity errors list relationships: by tables, then
/// one-to-many, many-to-one, one-to-one, many-to-many, then by constraint or
/// junction; computed ones last.
pub(super) fn sort(relationships: &mut [Relationship]) {
    relationships.sort_by(|a, b| match (a, b) {
        (Relationship::ForeignKey(a), Relationship::ForeignKey(b)) => {
            let ends =
                |r: &ForeignKeyRelationship| (r.table.clone(), r.foreign_table.clone(), r.is_self);
            let views = |r: &ForeignKeyRelationship| (r.table_is_view, r.foreign_table_is_view);
            ends(a)
                .cmp(&ends(b))
                .then_with(|| rank(&a.cardinality).cmp(&rank(&b.cardinality)))
                .then_with(|| views(a).cmp(&views(b)))
        }
        (Relationship::ForeignKey(_), Relationship::Computed(_)) => std::cmp::Ordering::Less,
        (Relationship::Computed(_), Relationship::ForeignKey(_)) => std::cmp::Ordering::Greater,
        (Relationship::Computed(a), Relationship::Computed(b)) => {
            (&a.function, &a.foreign_table).cmp(&(&b.function, &b.foreign_table))
        }
    });
}

/// A comparable form of a cardinality.
type Rank<'a> = (
    u8,
    Option<&'a QualifiedName>,
    [&'a str; 2],
    [&'a [(String, String)]; 2],
    bool,
);

fn rank(cardinality: &Cardinality) -> Rank<'_> {
    match cardinality {
        Cardinality::OneToMany {
            constraint,
            columns,
        } => (0, None, [constraint, ""], [columns, &[]], false),
        Cardinality::ManyToOne {
            constraint,
            columns,
        } => (1, None, [constraint, ""], [columns, &[]], false),
        Cardinality::OneToOne {
            constraint,
            columns,
            is_parent,
        } => (2, None, [constraint, ""], [columns, &[]], *is_parent),
        Cardinality::ManyToMany(junction) => (
            3,
            Some(&junction.table),
            [&junction.constraint_source, &junction.constraint_target],
            [&junction.columns_source, &junction.columns_target],
            false,
        ),
    }
}
