//! Which columns of a view cannot be NULL: those that are, through joins,
//! subqueries and other views, a NOT NULL column of a table, and that no outer
//! join can fill with NULL on the way.
//!
//! Anything that is not understood may be NULL.

use std::collections::{HashMap, HashSet};

use super::metadata::{Oid, View};
use super::node_tree::{NodeId, Tree};

/// How many views and subqueries may stand on one another.
const NESTING_MAX: usize = 256;

/// `JoinType` as stored: the left side of these keeps all its rows …
const JOIN_INNER: i64 = 0;
const JOIN_LEFT: i64 = 1;
/// … and the right side of this one.
const JOIN_RIGHT: i64 = 3;

/// `RTEKind` as stored.
const RTE_RELATION: i64 = 0;
const RTE_SUBQUERY: i64 = 1;
const RTE_JOIN: i64 = 2;
const RTE_CTE: i64 = 6;
const RTE_GROUP: i64 = 9;

/// The columns (view, number) that are proven never to be NULL.
pub(super) fn never_null(views: &[View], not_null: &HashSet<(Oid, i16)>) -> HashSet<(Oid, i16)> {
    let stacked = views.iter().filter(|view| view.stacked);
    let mut prover = Prover {
        trees: stacked
            .map(|view| (view.id, Tree::parse(&view.tree)))
            .collect(),
        not_null,
        known: HashMap::new(),
    };
    let mut found = HashSet::new();
    for view in views.iter().filter(|view| view.stacked) {
        for &number in view.column_names.keys() {
            if prover.view_column(view.id, i64::from(number), 0) {
                found.insert((view.id, number));
            }
        }
    }
    found
}

struct Prover<'a> {
    trees: HashMap<Oid, Option<Tree>>,
    not_null: &'a HashSet<(Oid, i16)>,
    /// Answers for columns of views; a view that is being asked says no.
    known: HashMap<(Oid, i64), bool>,
}

impl Prover<'_> {
    fn view_column(&mut self, view: Oid, number: i64, depth: usize) -> bool {
        if let Some(&known) = self.known.get(&(view, number)) {
            return known;
        }
        self.known.insert((view, number), false);
        let Some(Some(tree)) = self.trees.remove(&view) else {
            return false;
        };
        let proven = self.query_column(&tree, tree.query(), number, &[], depth);
        self.trees.insert(view, Some(tree));
        self.known.insert((view, number), proven);
        proven
    }

    /// Whether an output column of a query is proven. `outer` are the queries
    /// around it, the outermost first.
    fn query_column(
        &mut self,
        tree: &Tree,
        query: NodeId,
        number: i64,
        outer: &[NodeId],
        depth: usize,
    ) -> bool {
        let plain = tree.is(query, "QUERY")
            && tree.field(query, "setOperations") == 0
            && tree.items(tree.field(query, "groupingSets")).is_empty();
        if !plain || depth > NESTING_MAX {
            return false;
        }
        let targets = tree.items(tree.field(query, "targetList"));
        let target = targets.iter().find(|&&target| {
            tree.is(target, "TARGETENTRY")
                && tree.text(target, "resjunk") != "true"
                && tree.number(target, "resno") == number
        });
        let Some(&target) = target else {
            return false;
        };
        let mut queries = outer.to_vec();
        queries.push(query);
        self.expression(tree, tree.field(target, "expr"), &queries, depth + 1)
    }

    /// Whether an expression of the last of `queries` is proven.
    fn expression(
        &mut self,
        tree: &Tree,
        expression: NodeId,
        queries: &[NodeId],
        depth: usize,
    ) -> bool {
        let Some((&query, outer)) = queries.split_last() else {
            return false;
        };
        if depth > NESTING_MAX
            || !tree.is(expression, "VAR")
            || tree.text(expression, "varlevelsup") != "0"
        {
            return false;
        }
        let table = tree.number(expression, "varno");
        let column = tree.number(expression, "varattno");
        if column <= 0 || filled_by_joins(tree, query).contains(&table) {
            return false;
        }
        let tables = tree.items(tree.field(query, "rtable"));
        let Some(entry) = nth(tables, table) else {
            return false;
        };
        if !(tree.is(entry, "RANGETBLENTRY") || tree.is(entry, "RTE")) {
            return false;
        }
        let alias = |list| nth(tree.items(tree.field(entry, list)), column).unwrap_or(0);
        match tree.number(entry, "rtekind") {
            RTE_RELATION => self.relation_column(tree.text(entry, "relid"), column, depth),
            RTE_SUBQUERY => {
                self.query_column(tree, tree.field(entry, "subquery"), column, queries, depth)
            }
            RTE_JOIN => self.expression(tree, alias("joinaliasvars"), queries, depth + 1),
            RTE_GROUP => self.expression(tree, alias("groupexprs"), queries, depth + 1),
            RTE_CTE => self.common_table(tree, entry, column, (query, outer), depth),
            _ => false,
        }
    }

    fn relation_column(&mut self, relation: &str, column: i64, depth: usize) -> bool {
        let Ok(relation) = relation.parse::<Oid>() else {
            return false;
        };
        if self.trees.contains_key(&relation) || self.known.contains_key(&(relation, column)) {
            return self.view_column(relation, column, depth + 1);
        }
        i16::try_from(column).is_ok_and(|column| self.not_null.contains(&(relation, column)))
    }

    /// A column of `WITH name AS (…)`, which may belong to a query further out.
    fn common_table(
        &mut self,
        tree: &Tree,
        entry: NodeId,
        column: i64,
        (query, outer): (NodeId, &[NodeId]),
        depth: usize,
    ) -> bool {
        let mut queries = outer.to_vec();
        queries.push(query);
        let up = usize::try_from(tree.number(entry, "ctelevelsup")).unwrap_or(usize::MAX);
        let Some(kept) = queries.len().checked_sub(up) else {
            return false;
        };
        queries.truncate(kept);
        let Some(&owner) = queries.last() else {
            return false;
        };
        let name = tree.text(entry, "ctename");
        let tables = tree.items(tree.field(owner, "cteList"));
        let found = tables.iter().find(|&&table| {
            tree.is(table, "COMMONTABLEEXPR") && tree.text(table, "ctename") == name
        });
        found.is_some_and(|&table| {
            tree.text(table, "cterecursive") != "true"
                && self.query_column(tree, tree.field(table, "ctequery"), column, &queries, depth)
        })
    }
}

/// The item with a number that counts from one.
fn nth(items: &[NodeId], number: i64) -> Option<NodeId> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    items.get(index).copied()
}

/// The numbers of the tables of a query whose columns an outer join may fill
/// with NULL.
fn filled_by_joins(tree: &Tree, query: NodeId) -> HashSet<i64> {
    let mut filled = HashSet::new();
    let mut todo = vec![(tree.field(query, "jointree"), false)];
    while let Some((node, inside)) = todo.pop() {
        if tree.is(node, "RANGETBLREF") {
            if inside {
                filled.insert(tree.number(node, "rtindex"));
            }
        } else if tree.is(node, "FROMEXPR") {
            let items = tree.items(tree.field(node, "fromlist"));
            todo.extend(items.iter().map(|&item| (item, inside)));
        } else if tree.is(node, "JOINEXPR") {
            let kind = tree.number(node, "jointype");
            if inside {
                filled.insert(tree.number(node, "rtindex"));
            }
            let left = inside || !matches!(kind, JOIN_INNER | JOIN_LEFT);
            let right = inside || !matches!(kind, JOIN_INNER | JOIN_RIGHT);
            todo.push((tree.field(node, "larg"), left));
            todo.push((tree.field(node, "rarg"), right));
        }
    }
    filled
}
