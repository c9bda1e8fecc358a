//! From a name to a column: whether a data representation applies, and what
//! must be done before a JSON path or a full-text search.

use pg::catalog::{Catalog, Column, QualifiedName, Table};

use super::tree::{BodyColumn, PlanField, PlanLogic, PlanOrder, ToTsVector};
use crate::call::ast::{Field, Filter, LogicTree, OpExpr, Operation, OrderTerm};

/// The catalog and the table whose columns are meant.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    catalog: &'a Catalog,
    table: Option<&'a Table>,
}

/// What a reply's values are turned into. Other outputs would need other
/// representations.
const OUTPUT_TYPE: &str = "json";

impl<'a> Resolver<'a> {
    pub(crate) fn new(catalog: &'a Catalog, name: &QualifiedName) -> Self {
        Self {
            catalog,
            table: catalog.table(name),
        }
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &'a Column> {
        self.table
            .into_iter()
            .flat_map(|table| table.columns.values())
    }

    fn column(&self, name: &str) -> Option<&'a Column> {
        self.table?.columns.get(name)
    }

    /// A field of `select=`.
    pub(crate) fn output(&self, field: &Field) -> PlanField {
        let column = self.column(&field.name);
        self.with_output(resolve(field, column), column)
    }

    /// A column that `*` stands for.
    pub(crate) fn output_column(&self, column: &Column) -> PlanField {
        let mut field = PlanField::unknown(&column.name, Vec::new());
        field.json = Some(column.json);
        self.with_output(field, Some(column))
    }

    fn with_output(&self, mut field: PlanField, column: Option<&Column>) -> PlanField {
        let source = column.map_or("", |column| &column.nominal_type);
        field.transform = self.representation(source, OUTPUT_TYPE);
        field
    }

    /// The left side of a filter.
    fn input(&self, field: &Field, expr: &OpExpr) -> PlanField {
        let column = self.column(&field.name);
        let mut resolved = resolve(field, column);
        let is_tsvector = column.is_some_and(|column| column.data_type == "tsvector");
        if let Operation::Fts(_, configuration, _) = &expr.operation
            && !is_tsvector
        {
            let configuration = configuration.clone();
            resolved.to_tsvector = Some(ToTsVector { configuration });
        }
        let target = column.map_or("", |column| &column.nominal_type);
        resolved.transform = self.representation("text", target);
        resolved
    }

    /// A key of a JSON body; `None` when the table has no such column.
    pub(crate) fn body(&self, name: &str) -> Option<BodyColumn> {
        let column = self.column(name)?;
        let transform = self.representation(OUTPUT_TYPE, &column.nominal_type);
        Some(BodyColumn {
            name: column.name.clone(),
            data_type: if transform.is_some() {
                OUTPUT_TYPE.to_owned()
            } else {
                column.nominal_type.clone()
            },
            transform,
            default: column.default.clone(),
        })
    }

    pub(crate) fn order(&self, term: &OrderTerm) -> PlanOrder {
        PlanOrder {
            relation: term.relation.clone(),
            field: if term.relation.is_some() {
                PlanField::unknown(&term.field.name, term.field.path.clone())
            } else {
                resolve(&term.field, self.column(&term.field.name))
            },
            direction: term.direction,
            nulls: term.nulls,
        }
    }

    pub(crate) fn filter(&self, filter: &Filter) -> PlanLogic {
        PlanLogic::Filter {
            field: Box::new(self.input(&filter.field, &filter.expr)),
            expr: filter.expr.clone(),
        }
    }

    pub(crate) fn logic(&self, tree: &LogicTree) -> PlanLogic {
        match tree {
            LogicTree::Filter(filter) => self.filter(filter),
            LogicTree::Group {
                negated,
                operator,
                branches,
            } => PlanLogic::Group {
                negated: *negated,
                operator: *operator,
                branches: branches.iter().map(|branch| self.logic(branch)).collect(),
            },
        }
    }

    fn representation(&self, source: &str, target: &str) -> Option<QualifiedName> {
        if self.catalog.representations.is_empty() {
            return None;
        }
        let key = (source.to_owned(), target.to_owned());
        let found = self.catalog.representations.get(&key)?;
        Some(found.function.clone())
    }

    /// Whether `*` hides a column whose value is shown in another form.
    pub(crate) fn has_representations(&self) -> bool {
        !self.catalog.representations.is_empty()
            && self.columns().any(|column| {
                self.representation(&column.nominal_type, OUTPUT_TYPE)
                    .is_some()
            })
    }
}

fn resolve(field: &Field, column: Option<&Column>) -> PlanField {
    let mut resolved = PlanField::unknown(&field.name, field.path.clone());
    resolved.json = column.map(|column| column.json);
    let is_json = column.is_some_and(|c| matches!(c.nominal_type.as_str(), "json" | "jsonb"));
    // An index on `data->'a'` would not serve `to_jsonb(data)->'a'`.
    resolved.to_jsonb = !is_json && !field.path.is_empty();
    resolved
}
