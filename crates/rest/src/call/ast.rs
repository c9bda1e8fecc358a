//! What a request says, as types: the tree that the query string parses into.
//!
//! Nothing here has met the catalog: a name is just a name that the caller
//! wrote. Start at [`Query`].

/// The `JSON` path operators of a field: `data->a->>b->0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonOperation {
    /// `->>` (text) when true, `->` (json) when false.
    pub as_text: bool,
    /// What the arrow points at.
    pub operand: JsonOperand,
}

/// The right side of a `JSON` arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonOperand {
    /// An object key.
    Key(String),
    /// An array index, with its sign: `-1` is the last element.
    Index(String),
}

/// A column name with an optional `JSON` path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// The path into its `JSON` value; empty for the column itself.
    pub path: Vec<JsonOperation>,
}

/// An aggregate function: `amount.sum()`, `count()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// `sum()`
    Sum,
    /// `avg()`
    Avg,
    /// `max()`
    Max,
    /// `min()`
    Min,
    /// `count()`
    Count,
}

/// Whether an embed also filters its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinType {
    /// `!inner`: parents without a matching row disappear.
    Inner,
    /// `!left`: the default.
    Left,
}

/// One item of `select=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectItem {
    /// A column: `alias:name->path::cast` with an optional aggregate.
    Field(SelectField),
    /// An embed: `alias:relation!hint!inner(items)`.
    Relation(SelectRelation),
}

/// A selected column. `count()` has the field name `*` and no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectField {
    /// The column.
    pub field: Field,
    /// The aggregate applied to it.
    pub aggregate: Option<Aggregate>,
    /// The cast of the aggregate's result: `amount.sum()::text`.
    pub aggregate_cast: Option<String>,
    /// The cast of the column: `amount::text`.
    pub cast: Option<String>,
    /// The name of the result.
    pub alias: Option<String>,
}

/// An embedded relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectRelation {
    /// Table, view, foreign key column or computed relationship, as written.
    pub name: String,
    /// The name of the result. Spreads have none.
    pub alias: Option<String>,
    /// `!hint`: a constraint, column or junction that settles an ambiguity.
    pub hint: Option<String>,
    /// `!inner` or `!left`.
    pub join: Option<JoinType>,
    /// `...relation(…)`: lift the columns into the parent.
    pub spread: bool,
    /// What is selected from it; empty means nothing (`relation()`).
    pub select: Vec<SelectItem>,
}

/// `any` / `all` after an operator: `eq(any).{1,2}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// At least one element matches.
    Any,
    /// Every element matches.
    All,
}

/// Operators that take `(any)` or `(all)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantifiableOperator {
    /// `eq`
    Equal,
    /// `gte`
    GreaterThanEqual,
    /// `gt`
    GreaterThan,
    /// `lte`
    LessThanEqual,
    /// `lt`
    LessThan,
    /// `like` (`*` stands for `%`)
    Like,
    /// `ilike`
    ILike,
    /// `match` (`~`)
    Match,
    /// `imatch` (`~*`)
    IMatch,
}

/// Operators without a quantifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimpleOperator {
    /// `neq`
    NotEqual,
    /// `cs` (`@>`)
    Contains,
    /// `cd` (`<@`)
    Contained,
    /// `ov` (`&&`)
    Overlap,
    /// `sl` (`<<`)
    StrictlyLeft,
    /// `sr` (`>>`)
    StrictlyRight,
    /// `nxr` (`&<`)
    NotExtendsRight,
    /// `nxl` (`&>`)
    NotExtendsLeft,
    /// `adj` (`-|-`)
    Adjacent,
}

/// Full-text search operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FtsOperator {
    /// `fts`: `to_tsquery`
    Fts,
    /// `plfts`: `plainto_tsquery`
    Plain,
    /// `phfts`: `phraseto_tsquery`
    Phrase,
    /// `wfts`: `websearch_to_tsquery`
    Websearch,
}

/// The right side of `is`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsValue {
    /// `null`
    Null,
    /// `not_null`
    NotNull,
    /// `true`
    True,
    /// `false`
    False,
    /// `unknown`
    Unknown,
}

/// An operator with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `neq.5`, `cs.{1,2}` …
    Simple(SimpleOperator, String),
    /// `eq.5`, `like(any).{a*,b*}` …
    Quantified(QuantifiableOperator, Option<Quantifier>, String),
    /// `in.(1,2,"a,b")`
    In(Vec<String>),
    /// `is.null`
    Is(IsValue),
    /// `isdistinct.5`
    IsDistinctFrom(String),
    /// `fts(english).word`
    Fts(FtsOperator, Option<String>, String),
}

/// `not.` and an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpExpr {
    /// `not.` stood before the operator.
    pub negated: bool,
    /// The operator and its value.
    pub operation: Operation,
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The left side.
    pub field: Field,
    /// The operator and right side.
    pub expr: OpExpr,
}

/// `and` / `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicOperator {
    /// Every branch.
    And,
    /// At least one branch.
    Or,
}

/// `or=(a.eq.1,not.and(b.lt.2,c.is.null))`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogicTree {
    /// A group of branches.
    Group {
        /// `not.` stood before it.
        negated: bool,
        /// How the branches combine.
        operator: LogicOperator,
        /// The branches, at least one.
        branches: Vec<LogicTree>,
    },
    /// One condition.
    Filter(Filter),
}

/// Sort direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderDirection {
    /// `asc`
    Ascending,
    /// `desc`
    Descending,
}

/// Where nulls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderNulls {
    /// `nullsfirst`
    First,
    /// `nullslast`
    Last,
}

/// One term of `order=`: `name.desc.nullslast` or `relation(name).asc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTerm {
    /// `relation(field)`: order by a column of a to-one embed.
    pub relation: Option<String>,
    /// The column.
    pub field: Field,
    /// The direction, when written.
    pub direction: Option<OrderDirection>,
    /// The place of nulls, when written.
    pub nulls: Option<OrderNulls>,
}

/// Where in the tree of embeds something applies: `["a", "b"]` for
/// `a.b.order=…`; empty for the root.
pub type EmbedPath = Vec<String>;

/// `limit` and `offset`. Both are checked to be not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowRange {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return at most.
    pub limit: Option<u64>,
}

/// A parsed query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `select=`. When absent: the one item `*`; `select=` alone is empty.
    pub select: Vec<SelectItem>,
    /// Every filter with the embed it belongs to, in the order written.
    pub filters: Vec<(EmbedPath, Filter)>,
    /// `and=` / `or=` trees, in the order written.
    pub logic: Vec<(EmbedPath, LogicTree)>,
    /// `order=`, by embed.
    pub order: Vec<(EmbedPath, Vec<OrderTerm>)>,
    /// `limit=` and `offset=`, by embed. The root's is in [`Query::range`].
    pub embed_ranges: Vec<(EmbedPath, RowRange)>,
    /// The root's `limit=` and `offset=`, when either was written, before the
    /// `Range` header. What counts is `Call::range`, where both have met.
    pub range: Option<RowRange>,
    /// `columns=`: the keys of the body that count, when written.
    pub columns: Option<Vec<String>>,
    /// `on_conflict=`: the columns of the unique index to use, when written.
    pub on_conflict: Option<Vec<String>>,
    /// For functions called by GET: every parameter that is not a reserved
    /// word and whose value is no operator expression, in the order written.
    /// Those whose value is one (`id=eq.5`) are in [`Query::filters`].
    pub params: Vec<(String, String)>,
    /// All parameters sorted by name and re-encoded, for `Content-Location`;
    /// values of one name are joined by commas.
    pub canonical: String,
}
