//! The shape of a database as the APIs see it: tables, relationships,
//! functions. Built by [`super::load`], then never changed; a reload builds a
//! new one and swaps it in.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// A map that is asked several times for every request. Its keys come from the
/// database, so nobody can choose them to collide.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The same, in the order of insertion.
pub type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;

/// A schema-qualified name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Arc<str>,
    /// The name in it.
    pub name: Arc<str>,
}

impl QualifiedName {
    /// Puts the two together.
    #[must_use]
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

/// Everything the planner may ask about one database.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Tables, views, materialized views, foreign and partitioned tables of
    /// the exposed schemas (and those reachable from them).
    pub tables: HashMap<QualifiedName, Table>,
    /// Relationships by source table, in a stable order (by constraint name).
    /// Foreign keys both ways, through views, many-to-many, and computed.
    pub relationships: HashMap<QualifiedName, Vec<Relationship>>,
    /// Functions by name; several when overloaded.
    pub routines: HashMap<QualifiedName, Vec<Routine>>,
    /// Casts between a domain and json/text, as (source type, target type).
    /// Types are named as `format_type` writes them, with their schema when
    /// not on the search path.
    pub representations: HashMap<(String, String), Representation>,
    /// Functions that produce a media type of their own.
    pub media_handlers: Vec<MediaHandler>,
    /// Names accepted by `Prefer: timezone=`.
    pub timezones: HashSet<String>,
    /// `ALTER ROLE … SET`, by role, for settings any user may change.
    pub role_settings: HashMap<Arc<str>, Vec<(String, String)>>,
    /// Isolation level set by `ALTER ROLE … SET default_transaction_isolation`.
    pub role_isolation: HashMap<Arc<str>, String>,
    /// Whether any function, policy or view mentions `response.headers` or
    /// `response.status`. When none does, nobody can set them and no request
    /// needs to read them back.
    pub response_settings_used: bool,
    /// Whether anything stored in the database could read `request.headers`,
    /// `request.cookies`, `request.method` or `request.path`. When nothing
    /// can, no request needs to set them.
    pub request_settings_used: bool,
    /// Whether anything stored in the database could change a setting beyond
    /// its transaction. When nothing can, connections need no reset between
    /// callers.
    pub session_settings_used: bool,
    /// Comments on the exposed schemas, for the OpenAPI root.
    pub schema_comments: std::collections::HashMap<Arc<str>, String>,
}

/// A table or anything that can be selected from.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for alone"
)]
pub struct Table {
    /// Its name.
    pub name: QualifiedName,
    /// `COMMENT ON TABLE`.
    pub description: Option<String>,
    /// A view or materialized view.
    pub is_view: bool,
    /// INSERT works (for views: by being simple or by INSTEAD OF triggers).
    pub insertable: bool,
    /// UPDATE works.
    pub updatable: bool,
    /// DELETE works.
    pub deletable: bool,
    /// Row level security is enabled (ordinary and partitioned tables).
    pub rls: bool,
    /// A partition of another table: hidden from the OpenAPI root and from
    /// relationship detection.
    pub is_partition: bool,
    /// The primary key's columns; for views, inferred through the definition.
    pub primary_key: Vec<String>,
    /// Columns in their order.
    pub columns: IndexMap<String, Column>,
}

/// How a value of a type becomes `JSON`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonShape {
    /// The wire text converts without asking Postgres: numbers, booleans,
    /// text, uuid, dates and times, json itself, enums …
    Direct,
    /// Only `to_json` knows: arrays, composites, ranges of them, types with a
    /// cast to json of their own (hstore, geometry …).
    ToJson,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `COMMENT ON COLUMN`.
    pub description: Option<String>,
    /// NULL is allowed.
    pub nullable: bool,
    /// The type without modifier, domains resolved to their base: `character varying`.
    pub data_type: String,
    /// The type as declared, with modifier and domain name: `character varying(20)`.
    pub nominal_type: String,
    /// `n` of `character varying(n)`.
    pub max_length: Option<i32>,
    /// The default's expression; also set for identity columns (their nextval).
    pub default: Option<String>,
    /// The labels of an enum type.
    pub enum_labels: Vec<String>,
    /// How its values become `JSON`.
    pub json: JsonShape,
    /// A generated (stored) column or identity ALWAYS: cannot be written.
    pub generated: bool,
}

/// A way from one table to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relationship {
    /// Through foreign keys.
    ForeignKey(ForeignKeyRelationship),
    /// Through a function that takes a row of the source.
    Computed(ComputedRelationship),
}

/// A relationship made of one or two foreign keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKeyRelationship {
    /// The source.
    pub table: QualifiedName,
    /// The target.
    pub foreign_table: QualifiedName,
    /// Source and target are the same.
    pub is_self: bool,
    /// How many, and by which columns.
    pub cardinality: Cardinality,
    /// The source is a view.
    pub table_is_view: bool,
    /// The target is a view.
    pub foreign_table_is_view: bool,
}

/// How many rows the other side has for one row of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Many children here, one parent there: the foreign key is ours.
    ManyToOne {
        /// The constraint's name.
        constraint: String,
        /// (our column, their column).
        columns: Vec<(String, String)>,
    },
    /// One parent here, many children there: the foreign key is theirs.
    OneToMany {
        /// The constraint's name.
        constraint: String,
        /// (our column, their column).
        columns: Vec<(String, String)>,
    },
    /// The foreign key's columns are unique.
    OneToOne {
        /// The constraint's name.
        constraint: String,
        /// (our column, their column).
        columns: Vec<(String, String)>,
        /// We are the referenced side (the parent).
        is_parent: bool,
    },
    /// Through a junction table whose primary key holds both foreign keys.
    ManyToMany(Junction),
}

/// The table in the middle of a many-to-many relationship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Junction {
    /// The junction.
    pub table: QualifiedName,
    /// Its constraint towards the source.
    pub constraint_source: String,
    /// Its constraint towards the target.
    pub constraint_target: String,
    /// (source column, junction column).
    pub columns_source: Vec<(String, String)>,
    /// (target column, junction column).
    pub columns_target: Vec<(String, String)>,
}

/// A function from a row of `table` to rows of `foreign_table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedRelationship {
    /// The function.
    pub function: QualifiedName,
    /// The source.
    pub table: QualifiedName,
    /// The target.
    pub foreign_table: QualifiedName,
    /// The function's argument type when it is a view's or table's row type.
    pub to_one: bool,
    /// Source and target are the same.
    pub is_self: bool,
}

/// A function callable at `/rpc/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routine {
    /// Its name.
    pub name: QualifiedName,
    /// `COMMENT ON FUNCTION`.
    pub description: Option<String>,
    /// IN, INOUT and VARIADIC arguments, in order.
    pub params: Vec<RoutineParam>,
    /// What it returns.
    pub returns: ReturnType,
    /// VOLATILE, STABLE or IMMUTABLE.
    pub volatility: Volatility,
    /// It has a VARIADIC argument.
    pub variadic: bool,
    /// `SET` clauses of the function that must be applied to the whole
    /// request: (name, value). Only those the operator hoists
    /// (`db-hoisted-tx-settings`), such as `statement_timeout`.
    pub settings: Vec<(String, String)>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutineParam {
    /// Its name; empty when unnamed.
    pub name: String,
    /// Its type as `format_type` writes it.
    pub data_type: String,
    /// Its type with modifier stripped of `character(n)` truncation, for `json_to_record`.
    pub data_type_max_length: String,
    /// It has no default.
    pub required: bool,
    /// It is VARIADIC.
    pub variadic: bool,
}

/// What a function returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnType {
    /// `SETOF` or `TABLE(…)`.
    pub set: bool,
    /// The row type.
    pub kind: ReturnKind,
}

/// The type of a returned row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnKind {
    /// `void`
    Void,
    /// A base type, enum, array, domain over one …
    Scalar {
        /// The type's name.
        name: QualifiedName,
        /// How it becomes `JSON`.
        json: JsonShape,
    },
    /// A row type of a table or composite type; `RECORD` with OUT arguments or
    /// `TABLE(…)` has the name `pg_catalog.record`.
    Composite {
        /// The type's name, which for tables and views is the relation's.
        name: QualifiedName,
        /// A domain over the composite type.
        is_alias: bool,
    },
}

/// A function's promise about side effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// May change the database.
    Volatile,
    /// Reads only.
    Stable,
    /// Reads nothing.
    Immutable,
}

/// A cast function of a data representation domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// From this type.
    pub source: String,
    /// To this type.
    pub target: String,
    /// By this function.
    pub function: QualifiedName,
}

/// A function or aggregate that renders a media type named by a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaHandler {
    /// The aggregate or function.
    pub function: QualifiedName,
    /// The relation it serves; `None` for any (`anyelement`).
    pub relation: Option<QualifiedName>,
    /// The media type: the domain's name, `*/*` for the catch-all.
    pub media_type: String,
    /// The domain's schema-qualified name, which is what the function returns.
    pub domain: QualifiedName,
    /// A plain function returning the domain (served at `/rpc/`), not an
    /// aggregate.
    pub is_routine: bool,
}
