//! What a request touches: each relation with the columns it reads and writes,
//! derived from the plan that would have been carried out. Pure.

use std::collections::BTreeSet;

use pg::catalog::{Cardinality, Catalog, QualifiedName, Relationship};

use crate::call::ast::JoinType;
use crate::plan::mutate::{Body, Conflict, MutateKind};
use crate::plan::tree::{BodyColumn, PlanLogic, PlanOrder, ReadNode, Spread};
use crate::plan::{MutateReadPlan, Plan};

/// More embeds than this are named and not looked into.
pub(super) const TOUCHES_MAX: usize = 16;

/// One relation of the request.
#[derive(Debug)]
pub(super) struct Touch<'p> {
    /// As the request calls it: `sessions`, `sessions.messages`.
    pub(super) label: String,
    pub(super) relation: QualifiedName,
    pub(super) act: Act<'p>,
    /// Columns whose SELECT privilege is needed; for writes those of filters
    /// and of what is returned.
    pub(super) select: BTreeSet<String>,
    /// Columns that are written.
    pub(super) written: BTreeSet<String>,
    /// Rows that were written come back.
    pub(super) returns: bool,
    /// What it hangs on, for embeds.
    pub(super) parent: Option<Parent<'p>>,
    /// The name of its columns in filters.
    pub(super) node: Option<&'p ReadNode>,
    /// The junction in the middle of a many-to-many embed.
    pub(super) is_junction: bool,
}

/// The relation that embeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent<'p> {
    pub(super) index: usize,
    pub(super) relationship: &'p Relationship,
    /// `!inner`: without a row here, the parent's row disappears.
    pub(super) inner: bool,
}

/// What is done to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act<'p> {
    Read,
    Insert {
        columns: &'p [BodyColumn],
        body: &'p Body,
        conflict: Option<&'p Conflict>,
    },
    Update {
        columns: &'p [BodyColumn],
        body: &'p Body,
        logic: &'p [PlanLogic],
    },
    Delete {
        logic: &'p [PlanLogic],
    },
}

impl Act<'_> {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert { conflict: None, .. } => "insert",
            Self::Insert { .. } => "upsert",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
        }
    }
}

impl Touch<'_> {
    /// Whether PostgreSQL asks SELECT policies besides those of the write:
    /// whenever the statement reads a column of the table.
    pub(super) fn asks_select_policies(&self) -> bool {
        matches!(self.act, Act::Read) || !self.select.is_empty()
    }
}

/// Everything that `plan` touches, parents before children. The second value
/// is how many were left out.
pub(super) fn of<'p>(catalog: &Catalog, plan: &'p Plan<'_>) -> (Vec<Touch<'p>>, usize) {
    let mut found = Found {
        catalog,
        touches: Vec::new(),
        left_out: 0,
    };
    match plan {
        Plan::Read(plan) => {
            found.read(&plan.table.name, &plan.table, &plan.tree, None);
        }
        Plan::Mutate(plan) => found.write(plan),
        // Its rows come from the function; only what hangs on them is read.
        Plan::Call(plan) => {
            for child in &plan.tree.children {
                found.child("", child, None);
            }
        }
        Plan::Root | Plan::Info { .. } => {}
    }
    (found.touches, found.left_out)
}

struct Found<'c, 'p> {
    catalog: &'c Catalog,
    touches: Vec<Touch<'p>>,
    left_out: usize,
}

impl<'p> Found<'_, 'p> {
    fn push(&mut self, touch: Touch<'p>) -> Option<usize> {
        if self.touches.len() >= TOUCHES_MAX {
            self.left_out += 1;
            return None;
        }
        self.touches.push(touch);
        Some(self.touches.len() - 1)
    }

    fn read(
        &mut self,
        label: &str,
        relation: &QualifiedName,
        node: &'p ReadNode,
        parent: Option<Parent<'p>>,
    ) {
        let mut select = BTreeSet::new();
        columns_of_node(node, &mut select);
        if let Some(parent) = parent {
            select.extend(their_columns(parent.relationship));
        }
        for child in &node.children {
            select.extend(child.relationship.iter().flat_map(our_columns));
        }
        let touch = Touch {
            select: self.known(relation, select),
            label: label.to_owned(),
            relation: relation.clone(),
            act: Act::Read,
            written: BTreeSet::new(),
            returns: false,
            parent,
            node: Some(node),
            is_junction: false,
        };
        let Some(index) = self.push(touch) else {
            return;
        };
        for child in &node.children {
            self.child(label, child, Some(index));
        }
    }

    fn child(&mut self, above: &str, child: &'p ReadNode, parent: Option<usize>) {
        let separator = if above.is_empty() { "" } else { "." };
        let label = format!("{above}{separator}{}", child.result_name());
        let parent = parent
            .zip(child.relationship.as_ref())
            .map(|(index, relationship)| Parent {
                index,
                relationship,
                inner: child.join == Some(JoinType::Inner),
            });
        if let Some(Relationship::ForeignKey(fk)) = &child.relationship
            && let Cardinality::ManyToMany(junction) = &fk.cardinality
        {
            let (ours, theirs) = (&junction.columns_source, &junction.columns_target);
            let columns = ours.iter().chain(theirs).map(|(_, column)| column.clone());
            self.push(Touch {
                label: format!("{label} (through {})", junction.table.name),
                relation: junction.table.clone(),
                act: Act::Read,
                select: columns.collect(),
                written: BTreeSet::new(),
                returns: false,
                parent,
                node: None,
                is_junction: true,
            });
        }
        let relation = match &child.relationship {
            Some(Relationship::ForeignKey(fk)) => &fk.foreign_table,
            Some(Relationship::Computed(computed)) => &computed.foreign_table,
            None => &child.from,
        };
        self.read(&label, relation, child, parent);
    }

    fn write(&mut self, plan: &'p MutateReadPlan<'_>) {
        let relation = &plan.table;
        let mut select: BTreeSet<String> = plan.mutate.returning.iter().cloned().collect();
        let returns = !select.is_empty();
        let mut written = BTreeSet::new();
        let act = match &plan.mutate.kind {
            MutateKind::Insert {
                columns,
                body,
                conflict,
                ..
            } => {
                written.extend(columns.iter().map(|column| column.name.clone()));
                if let Some(conflict) = conflict {
                    // Naming the arbiter reads its columns.
                    select.extend(conflict.columns.iter().cloned());
                }
                Act::Insert {
                    columns,
                    body,
                    conflict: conflict.as_ref().filter(|c| !c.columns.is_empty()),
                }
            }
            MutateKind::Update {
                columns,
                body,
                logic,
            } => {
                written.extend(columns.iter().map(|column| column.name.clone()));
                columns_of_logic(logic, &mut select);
                Act::Update {
                    columns,
                    body,
                    logic,
                }
            }
            MutateKind::Delete { logic } => {
                columns_of_logic(logic, &mut select);
                Act::Delete { logic }
            }
        };
        let touch = Touch {
            label: relation.name.to_string(),
            select: self.known(relation, select),
            relation: relation.clone(),
            act,
            written,
            returns,
            parent: None,
            node: None,
            is_junction: false,
        };
        let index = self.push(touch);
        for child in &plan.tree.children {
            self.child(&relation.name, child, index);
        }
    }

    /// The names that are columns; `*` is all of them. Computed columns are
    /// functions and have no privilege here.
    fn known(&self, relation: &QualifiedName, names: BTreeSet<String>) -> BTreeSet<String> {
        let Some(table) = self.catalog.table(relation) else {
            return names.into_iter().filter(|name| name != "*").collect();
        };
        if names.contains("*") {
            return table.columns.keys().cloned().collect();
        }
        let known = |name: &String| table.columns.contains_key(name);
        names.into_iter().filter(known).collect()
    }
}

fn columns_of_node(node: &ReadNode, out: &mut BTreeSet<String>) {
    for item in &node.select {
        let name = if item.field.whole_row {
            "*"
        } else {
            &item.field.name
        };
        // `count()` has no column.
        if !(item.aggregate.is_some() && item.field.is_star()) {
            out.insert(name.to_owned());
        }
    }
    columns_of_logic(&node.logic, out);
    columns_of_order(&node.order, out);
    if let Some(Spread::ToMany { extra, order }) = &node.spread {
        let own = extra.iter().filter(|(relation, _)| relation.is_none());
        out.extend(own.map(|(_, item)| item.field.name.clone()));
        columns_of_order(order, out);
    }
}

fn columns_of_order(terms: &[PlanOrder], out: &mut BTreeSet<String>) {
    let own = terms.iter().filter(|term| term.relation.is_none());
    out.extend(own.map(|term| term.field.name.clone()));
}

fn columns_of_logic(logic: &[PlanLogic], out: &mut BTreeSet<String>) {
    for tree in logic {
        match tree {
            PlanLogic::Group { branches, .. } => columns_of_logic(branches, out),
            PlanLogic::Filter { field, .. } => {
                out.insert(field.name.clone());
            }
            PlanLogic::NullEmbed { .. } => {}
        }
    }
}

fn our_columns(relationship: &Relationship) -> Vec<String> {
    match relationship {
        // The function takes the whole row.
        Relationship::Computed(_) => vec!["*".to_owned()],
        Relationship::ForeignKey(fk) => match &fk.cardinality {
            Cardinality::ManyToMany(junction) => firsts(&junction.columns_source),
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => firsts(columns),
        },
    }
}

fn their_columns(relationship: &Relationship) -> Vec<String> {
    match relationship {
        Relationship::Computed(_) => Vec::new(),
        Relationship::ForeignKey(fk) => match &fk.cardinality {
            Cardinality::ManyToMany(junction) => firsts(&junction.columns_target),
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => {
                columns.iter().map(|(_, theirs)| theirs.clone()).collect()
            }
        },
    }
}

fn firsts(pairs: &[(String, String)]) -> Vec<String> {
    pairs.iter().map(|(first, _)| first.clone()).collect()
}
