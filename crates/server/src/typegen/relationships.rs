//! Ways from relation to relation: foreign keys, and what views make of them.
//! A view that shows all columns of a key stands in for the table on that side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::collation::Collation;
use super::metadata::{Key, Metadata, Oid, View};
use super::node_tree::Tree;

/// How many views may stand on one another.
const NESTING_MAX: usize = 64;

/// A view may show a column twice, and then a key of several columns in as many
/// ways as there are combinations. More than these serve nobody.
const COMBINATIONS_MAX: usize = 1024;

/// One way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relationship {
    pub(super) key: String,
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) columns: Vec<String>,
    pub(super) one_to_one: bool,
    pub(super) referenced_schema: String,
    pub(super) referenced_relation: String,
    pub(super) referenced_columns: Vec<String>,
}

/// The relationships that stay in a schema, by schema and relation.
pub(super) type ByRelation = HashMap<(String, String), Vec<Relationship>>;

/// All of them, each list in order.
pub(super) fn all(metadata: &Metadata) -> ByRelation {
    let wanted: HashSet<&str> = metadata.schemas.iter().map(String::as_str).collect();
    let shown = shown_keys(metadata);
    let unique = unique_keys(&metadata.keys);
    let mut found = Vec::new();
    for key in foreign_keys(&metadata.keys) {
        let Some(base) = relationship(key, &unique) else {
            continue;
        };
        let of_views = shown.get(&Side::own(key)).map_or(&[][..], Vec::as_slice);
        let to_views = shown.get(&Side::other(key)).map_or(&[][..], Vec::as_slice);
        let ours = wanted.contains(base.schema.as_str());
        for view in of_views {
            found.push(view.instead_of_source(&base));
            found.extend(
                to_views
                    .iter()
                    .map(|to| to.instead_of_target(&view.instead_of_source(&base))),
            );
        }
        if ours {
            found.extend(to_views.iter().map(|to| to.instead_of_target(&base)));
            found.push(base);
        }
    }
    found.retain(|one| one.schema == one.referenced_schema);
    let collation = &metadata.collation;
    found.sort_by(|a, b| compare(collation, a, b));
    let mut by_relation = ByRelation::new();
    for one in found {
        let place = (one.schema.clone(), one.relation.clone());
        by_relation.entry(place).or_default().push(one);
    }
    by_relation
}

fn compare(collation: &Collation, a: &Relationship, b: &Relationship) -> std::cmp::Ordering {
    let lists = |a: &[String], b: &[String]| {
        collation.compare(&super::document::array(a), &super::document::array(b))
    };
    (collation.compare(&a.key, &b.key))
        .then_with(|| collation.compare(&a.referenced_relation, &b.referenced_relation))
        .then_with(|| lists(&a.referenced_columns, &b.referenced_columns))
        .then_with(|| collation.compare(&a.referenced_schema, &b.referenced_schema))
        .then_with(|| collation.compare(&a.schema, &b.schema))
        .then_with(|| collation.compare(&a.relation, &b.relation))
        .then_with(|| lists(&a.columns, &b.columns))
}

/// Those that somebody wrote down; a partition's copy of its parent's is none.
fn foreign_keys(keys: &[Key]) -> impl Iterator<Item = &Key> {
    keys.iter().filter(|key| key.kind == 'f' && !key.inherited)
}

fn names(columns: &[(i16, String)]) -> Vec<String> {
    columns.iter().map(|(_, name)| name.clone()).collect()
}

/// The column sets that are unique, in the table's order.
fn unique_keys(keys: &[Key]) -> HashSet<(Oid, Vec<i16>)> {
    let unique = keys.iter().filter(|key| matches!(key.kind, 'p' | 'u'));
    unique
        .map(|key| {
            let mut numbers: Vec<i16> = key.columns.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            (key.relation, numbers)
        })
        .collect()
}

fn relationship(key: &Key, unique: &HashSet<(Oid, Vec<i16>)>) -> Option<Relationship> {
    // As PostgREST's own rule is told upstream: the columns count in the key's
    // order, so a key that names them otherwise is not one to one.
    let numbers: Vec<i16> = key.columns.iter().map(|(number, _)| *number).collect();
    Some(Relationship {
        key: key.name.clone(),
        schema: key.schema.clone(),
        relation: key.relation_name.clone(),
        columns: names(&key.columns),
        one_to_one: unique.contains(&(key.relation, numbers)),
        referenced_schema: key.foreign_schema.clone()?,
        referenced_relation: key.foreign_name.clone()?,
        referenced_columns: names(&key.foreign_columns),
    })
}

/// One side of a foreign key: the table on it, the key's name, which side.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Side {
    relation: Oid,
    key: String,
    referenced: bool,
}

impl Side {
    fn own(key: &Key) -> Self {
        Self {
            relation: key.relation,
            key: key.name.clone(),
            referenced: false,
        }
    }

    fn other(key: &Key) -> Self {
        Self {
            relation: key.foreign_relation,
            key: key.name.clone(),
            referenced: true,
        }
    }
}

/// A view that shows one side of a key, by these of its columns.
struct Shown<'a> {
    view: &'a View,
    columns: Vec<String>,
}

impl Shown<'_> {
    fn instead_of_source(&self, base: &Relationship) -> Relationship {
        Relationship {
            schema: self.view.schema.clone(),
            relation: self.view.name.clone(),
            columns: self.columns.clone(),
            ..base.clone()
        }
    }

    fn instead_of_target(&self, base: &Relationship) -> Relationship {
        Relationship {
            referenced_schema: self.view.schema.clone(),
            referenced_relation: self.view.name.clone(),
            referenced_columns: self.columns.clone(),
            ..base.clone()
        }
    }
}

/// A place in a key: the column and where it stands.
type Part = (i16, usize);

/// Both sides of all foreign keys with their parts, by table. Keys of the same
/// name that refer to the same columns are one; a set sees to that.
fn sides(keys: &[Key]) -> HashMap<Oid, BTreeMap<(Side, usize), BTreeSet<Part>>> {
    let mut sides: HashMap<Oid, BTreeMap<(Side, usize), BTreeSet<Part>>> = HashMap::new();
    for key in keys.iter().filter(|key| key.kind == 'f') {
        let both = [
            (Side::own(key), &key.columns),
            (Side::other(key), &key.foreign_columns),
        ];
        for (side, columns) in both {
            let parts = columns
                .iter()
                .enumerate()
                .map(|(place, (number, _))| (*number, place));
            sides
                .entry(side.relation)
                .or_default()
                .entry((side, columns.len()))
                .or_default()
                .extend(parts);
        }
    }
    sides
}

/// Which sides of which keys the printed views show.
fn shown_keys(metadata: &Metadata) -> HashMap<Side, Vec<Shown<'_>>> {
    let sides = sides(&metadata.keys);
    let origins = Origins::new(&metadata.views);
    let mut shown: HashMap<Side, Vec<Shown<'_>>> = HashMap::new();
    for view in metadata.views.iter().filter(|view| view.wanted) {
        let columns = origins.of(view);
        let tables: BTreeSet<Oid> = columns.keys().map(|(table, _)| *table).collect();
        let of_tables = tables.iter().filter_map(|table| sides.get(table)).flatten();
        for ((side, length), parts) in of_tables {
            let mut parts: Vec<Part> = parts.iter().copied().collect();
            parts.sort_unstable_by_key(|(_, place)| *place);
            let choices: Vec<&[&str]> = parts
                .iter()
                .filter_map(|(number, _)| columns.get(&(side.relation, *number)))
                .map(Vec::as_slice)
                .collect();
            if choices.len() != *length {
                continue;
            }
            let all = combinations(&choices).into_iter();
            shown
                .entry(side.clone())
                .or_default()
                .extend(all.map(|columns| Shown { view, columns }));
        }
    }
    shown
}

/// Every way to take one item of each list.
fn combinations(lists: &[&[&str]]) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for list in lists {
        all = all
            .iter()
            .flat_map(|start: &Vec<String>| {
                list.iter().map(move |item| {
                    let mut longer = start.clone();
                    longer.push((*item).to_owned());
                    longer
                })
            })
            .take(COMBINATIONS_MAX)
            .collect();
    }
    all
}

/// Where the columns of views come from.
struct Origins(HashMap<Oid, HashMap<i16, (Oid, i16)>>);

impl Origins {
    fn new(views: &[View]) -> Self {
        let followed = views.iter().filter(|view| view.followed);
        Self(
            followed
                .map(|view| (view.id, targets(&view.tree)))
                .collect(),
        )
    }

    /// The names of a view's columns by the table column that they show.
    fn of<'a>(&self, view: &'a View) -> BTreeMap<(Oid, i16), Vec<&'a str>> {
        let mut found: BTreeMap<(Oid, i16), Vec<&str>> = BTreeMap::new();
        for (number, name) in &view.column_names {
            if let Some(origin) = self.table_column((view.id, *number)) {
                found.entry(origin).or_default().push(name);
            }
        }
        found
    }

    fn table_column(&self, mut origin: (Oid, i16)) -> Option<(Oid, i16)> {
        for _ in 0..NESTING_MAX {
            match self.0.get(&origin.0) {
                Some(columns) => origin = *columns.get(&origin.1)?,
                None => return Some(origin),
            }
        }
        None
    }
}

/// PostgreSQL notes for each output column of a query the relation and column
/// that it was taken from unchanged.
fn targets(tree: &str) -> HashMap<i16, (Oid, i16)> {
    let Some(tree) = Tree::parse(tree) else {
        return HashMap::new();
    };
    let list = tree.items(tree.field(tree.query(), "targetList"));
    let entry = |&target: &usize| {
        let number = i16::try_from(tree.number(target, "resno")).ok()?;
        let relation = Oid::try_from(tree.number(target, "resorigtbl")).ok()?;
        let column = i16::try_from(tree.number(target, "resorigcol")).ok()?;
        (relation != 0 && column > 0).then_some((number, (relation, column)))
    };
    list.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shown_twice_is_shown_in_every_combination() {
        let all = combinations(&[&["a", "b"], &["c"], &["d", "e"]]);
        let all: Vec<String> = all.iter().map(|one| one.concat()).collect();
        assert_eq!(all, ["acd", "ace", "bcd", "bce"]);
        let many: Vec<&str> = vec!["x"; 100];
        assert_eq!(combinations(&[&many, &many]).len(), COMBINATIONS_MAX);
    }
}
