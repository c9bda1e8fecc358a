//! A read, planned: the tree that [`crate::sql`] turns into text. Every name
//! in it has been looked up in the catalog where the catalog knows it.

use pg::catalog::{JsonShape, QualifiedName, Relationship};

use crate::call::ast::{
    Aggregate, JoinType, JsonOperation, LogicOperator, OpExpr, OrderDirection, OrderNulls, RowRange,
};

/// A column in its context: where it comes from and what must be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanField {
    pub(crate) name: String,
    pub(crate) path: Vec<JsonOperation>,
    /// The path starts on something that is not json yet: `to_jsonb(x)->…`.
    pub(crate) to_jsonb: bool,
    /// A full-text filter on something that is not a tsvector yet.
    pub(crate) to_tsvector: Option<ToTsVector>,
    /// A data representation's cast function.
    pub(crate) transform: Option<QualifiedName>,
    /// `count()` of a spread: the whole row of the embed.
    pub(crate) whole_row: bool,
    /// How the column's value becomes JSON; `None` when the catalog does not
    /// know the column.
    pub(crate) json: Option<JsonShape>,
}

impl PlanField {
    /// A name that the catalog says nothing about.
    pub(crate) fn unknown(name: &str, path: Vec<JsonOperation>) -> Self {
        Self {
            name: name.to_owned(),
            path,
            to_jsonb: false,
            to_tsvector: None,
            transform: None,
            whole_row: false,
            json: None,
        }
    }

    pub(crate) fn is_star(&self) -> bool {
        self.name == "*" && self.path.is_empty()
    }
}

/// `to_tsvector(configuration, column)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToTsVector {
    pub(crate) configuration: Option<String>,
}

/// A key of a JSON body: the column (or argument) that it sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyColumn {
    pub(crate) name: String,
    /// The type that the value has before `transform`.
    pub(crate) data_type: String,
    /// A data representation's cast function.
    pub(crate) transform: Option<QualifiedName>,
    /// The column's default, for `Prefer: missing=default`.
    pub(crate) default: Option<String>,
}

/// A selected column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanSelect {
    pub(crate) field: PlanField,
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) aggregate_cast: Option<String>,
    pub(crate) cast: Option<String>,
    pub(crate) alias: Option<String>,
}

impl PlanSelect {
    /// `*` and nothing done to it: it stands for the table's columns.
    pub(crate) fn is_all(&self) -> bool {
        self.field.is_star()
            && self.aggregate.is_none()
            && self.cast.is_none()
            && self.alias.is_none()
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanLogic {
    Group {
        negated: bool,
        operator: LogicOperator,
        branches: Vec<PlanLogic>,
    },
    Filter {
        field: Box<PlanField>,
        expr: OpExpr,
    },
    /// `embed=is.null` / `embed=not.is.null`: whether the embed has rows.
    NullEmbed {
        negated: bool,
        embed: String,
    },
}

/// A term of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanOrder {
    /// The alias of the joined embed that the column belongs to.
    pub(crate) relation: Option<String>,
    pub(crate) field: PlanField,
    pub(crate) direction: Option<OrderDirection>,
    pub(crate) nulls: Option<OrderNulls>,
}

/// `left.column = right.column`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinCondition {
    pub(crate) left: (QualifiedName, String),
    pub(crate) right: (QualifiedName, String),
}

/// An embed whose columns are lifted into its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    ToOne,
    /// Each column becomes an array, in this order. Columns that are only
    /// there to sort by are selected under names of their own: (alias of the
    /// joined embed they belong to, column).
    ToMany {
        extra: Vec<(Option<String>, PlanSelect)>,
        order: Vec<PlanOrder>,
    },
}

/// What a parent selects from one embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EmbedSelect {
    Json {
        /// The result's name.
        name: String,
        /// The joined subquery.
        alias: String,
        to_one: bool,
        /// `embed()`: joined for its filters, selected not at all.
        hidden: bool,
    },
    Spread {
        alias: String,
        columns: Vec<SpreadColumn>,
    },
}

impl EmbedSelect {
    pub(crate) fn alias(&self) -> &str {
        match self {
            Self::Json { alias, .. } | Self::Spread { alias, .. } => alias,
        }
    }
}

/// A column lifted out of a spread embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpreadColumn {
    pub(crate) name: String,
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) aggregate_cast: Option<String>,
    pub(crate) alias: Option<String>,
}

/// One table of the tree, with what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadNode {
    pub(crate) select: Vec<PlanSelect>,
    pub(crate) from: QualifiedName,
    pub(crate) from_alias: Option<String>,
    pub(crate) logic: Vec<PlanLogic>,
    pub(crate) order: Vec<PlanOrder>,
    pub(crate) range: RowRange,
    /// The name by which the request calls it.
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) join: Option<JoinType>,
    pub(crate) spread: Option<Spread>,
    /// How it hangs on its parent; `None` for the root.
    pub(crate) relationship: Option<Relationship>,
    /// The parent's alias, for a computed relationship's argument.
    pub(crate) parent_alias: Option<String>,
    /// The alias of the subquery that the parent joins.
    pub(crate) embed_alias: String,
    pub(crate) joins: Vec<JoinCondition>,
    pub(crate) embeds: Vec<EmbedSelect>,
    pub(crate) depth: usize,
    pub(crate) children: Vec<ReadNode>,
}

impl ReadNode {
    pub(crate) fn new(from: QualifiedName, name: &str, depth: usize) -> Self {
        Self {
            select: Vec::new(),
            from,
            from_alias: None,
            logic: Vec::new(),
            order: Vec::new(),
            range: RowRange::default(),
            name: name.to_owned(),
            alias: None,
            hint: None,
            join: None,
            spread: None,
            relationship: None,
            parent_alias: None,
            embed_alias: String::new(),
            joins: Vec::new(),
            embeds: Vec::new(),
            depth,
            children: Vec::new(),
        }
    }

    /// The name of its result: the alias or the name.
    pub(crate) fn result_name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// Nothing but `*`, the case in which custom media types apply.
    pub(crate) fn has_default_select(&self) -> bool {
        self.children.is_empty() && matches!(self.select.as_slice(), [one] if one.field.name == "*")
    }

    pub(crate) fn is_to_one(&self) -> bool {
        self.relationship.as_ref().is_some_and(is_to_one)
    }

    /// Applies `change` to every node below and including this one.
    pub(crate) fn for_each(&mut self, change: &mut impl FnMut(&mut Self)) {
        change(self);
        for child in &mut self.children {
            child.for_each(change);
        }
    }
}

/// Whether one row has at most one row on the other side.
pub(crate) fn is_to_one(relationship: &Relationship) -> bool {
    use pg::catalog::Cardinality::{ManyToMany, ManyToOne, OneToMany, OneToOne};
    match relationship {
        Relationship::Computed(computed) => computed.to_one,
        Relationship::ForeignKey(fk) => match fk.cardinality {
            ManyToOne { .. } | OneToOne { .. } => true,
            OneToMany { .. } | ManyToMany(_) => false,
        },
    }
}
