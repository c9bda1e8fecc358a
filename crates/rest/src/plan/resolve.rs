//! From a name to a column: which type it has, whether a data representation
//! applies, and what must be done before a JSON path or a full-text search.

use pg::catalog::{Catalog, Column, QualifiedName, Table};

use super::tree::{PlanField, PlanLogic, PlanOrder};
use crate::call::ast::{Field, Filter, LogicTree, OpExpr, Operation, OrderTerm};

/// The catalog and the table whose columns are meant.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) table: Option<&'a Table>,
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
        self.table.into_iter().flat_map(|table| table.columns.values())
    }

    /// A field of `select=`.
    pub(crate) fn output(&self, field: &Field) -> PlanField {
        self.with_output(self.resolve(field, None))
    }

    /// A column that `*` stands for.
    pub(crate) fn output_column(&self, column: &Column) -> PlanField {
        self.with_output(from_column(column))
    }

    /// The left side of a filter.
    pub(crate) fn input(&self, field: &Field, expr: &OpExpr) -> PlanField {
        let to_tsvector = match &expr.operation {
            Operation::Fts(_, language, _) => Some(language.clone()),
            _ => None,
        };
        let field = self.resolve(field, to_tsvector);
        let target = field.data_type.clone();
        self.with_transform("text", &target, field)
    }

    /// A key of a JSON body; `None` when the table has no such column.
    pub(crate) fn body(&self, name: &str) -> Option<PlanField> {
        let field = from_column(self.table?.columns.get(name)?);
        let target = field.data_type.clone();
        Some(self.with_transform("json", &target, field))
    }

    pub(crate) fn order(&self, term: &OrderTerm) -> PlanOrder {
        PlanOrder {
            relation: term.relation.clone(),
            field: if term.relation.is_some() {
                PlanField::unknown(&term.field.name, term.field.path.clone())
            } else {
                self.resolve(&term.field, None)
            },
            direction: term.direction,
            nulls: term.nulls,
        }
    }

    pub(crate) fn filter(&self, filter: &Filter) -> PlanLogic {
        PlanLogic::Filter {
            field: self.input(&filter.field, &filter.expr),
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

    fn resolve(&self, field: &Field, to_tsvector: Option<Option<String>>) -> PlanField {
        let column = self.table.and_then(|table| table.columns.get(&field.name));
        let mut resolved = column.map_or_else(
            || PlanField::unknown(&field.name, Vec::new()),
            from_column,
        );
        resolved.path.clone_from(&field.path);
        let is_json = matches!(resolved.data_type.as_str(), "json" | "jsonb");
        // An index on `data->'a'` would not serve `to_jsonb(data)->'a'`.
        resolved.to_jsonb = !is_json && !field.path.is_empty();
        if resolved.base_type != "tsvector" {
            resolved.to_tsvector = to_tsvector;
        }
        resolved
    }

    fn with_output(&self, field: PlanField) -> PlanField {
        let source = field.data_type.clone();
        self.with_transform(&source, OUTPUT_TYPE, field)
    }

    fn with_transform(&self, source: &str, target: &str, mut field: PlanField) -> PlanField {
        if self.catalog.representations.is_empty() {
            return field;
        }
        let key = (source.to_owned(), target.to_owned());
        if let Some(representation) = self.catalog.representations.get(&key) {
            source.clone_into(&mut field.data_type);
            field.transform = Some(representation.function.clone());
        }
        field
    }

    /// Whether `*` hides a column whose value is shown in another form.
    pub(crate) fn has_representations(&self) -> bool {
        !self.catalog.representations.is_empty()
            && self.columns().any(|column| {
                let key = (column.nominal_type.clone(), OUTPUT_TYPE.to_owned());
                self.catalog.representations.contains_key(&key)
            })
    }
}

fn from_column(column: &Column) -> PlanField {
    PlanField {
        name: column.name.clone(),
        path: Vec::new(),
        to_jsonb: false,
        to_tsvector: None,
        data_type: column.nominal_type.clone(),
        base_type: column.data_type.clone(),
        transform: None,
        default: column.default.clone(),
        whole_row: false,
        json: Some(column.json),
    }
}
