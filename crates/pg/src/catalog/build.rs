//! From the answers of the queries to the [`Catalog`].

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::model::{
    Catalog, Column, ComputedRelationship, HashMap, IndexMap, QualifiedName, Relationship,
    Representation, Table,
};
use crate::catalog::raw::{Oid, Raw, RawColumn, RawComputed, RawKey, RawRelation, RawRoleSetting};
use crate::catalog::relationships::{self, Node, Nodes, ViewKeys};
use crate::catalog::routines;
use crate::catalog::types::Types;
use crate::catalog::view_columns::Origins;

const ISOLATION: &str = "default_transaction_isolation";

/// Bits of `pg_relation_is_updatable`: 1 << command.
const UPDATE: i32 = 4;
const INSERT: i32 = 8;
const DELETE: i32 = 16;

pub(super) fn build(raw: Raw, schemas: &[String]) -> Catalog {
    let types = Types::new(raw.types);
    let mut columns: HashMap<Oid, Vec<RawColumn>> = HashMap::default();
    for column in raw.columns {
        columns.entry(column.relation).or_default().push(column);
    }
    let nodes = nodes(&raw.relations, &columns, schemas);
    let view_keys = ViewKeys::new(&nodes, &raw.keys, &Origins::new(&raw.views));
    let primary_keys = primary_keys(&nodes, &raw.keys, &view_keys);
    let keyed = relationships::from_keys(&nodes, &raw.keys, &view_keys, &primary_keys);
    let mut tables = HashMap::default();
    for relation in raw.relations {
        if let Some(node) = nodes.get(&relation.id).filter(|node| node.exposed) {
            let columns = columns.remove(&relation.id).unwrap_or_default();
            let primary_key = primary_keys.get(&node.name).cloned().unwrap_or_default();
            let table = table(relation, node, primary_key, columns, &types);
            tables.insert(node.name.clone(), table);
        }
    }
    let (role_settings, role_isolation) = role_settings(raw.role_settings);
    Catalog {
        tables,
        relationships: by_source(
            keyed.into_iter().map(Relationship::ForeignKey).collect(),
            computed(raw.computed, &nodes),
        ),
        routines: routines::build(raw.routines, &types),
        representations: raw
            .representations
            .into_iter()
            .map(|cast| {
                let found = Representation {
                    source: cast.source.clone(),
                    target: cast.target.clone(),
                    function: QualifiedName::new(cast.schema, cast.name),
                };
                ((cast.source, cast.target), found)
            })
            .collect(),
        media_handlers: raw
            .media_handlers
            .into_iter()
            .map(routines::media_handler)
            .collect(),
        timezones: HashSet::new(),
        role_settings,
        role_isolation,
        response_settings_used: raw.response_settings_used,
        request_settings_used: raw.request_settings_used,
        session_settings_used: raw.session_settings_used,
        schema_comments: raw.schema_comments,
    }
}

fn nodes(
    relations: &[RawRelation],
    columns: &HashMap<Oid, Vec<RawColumn>>,
    schemas: &[String],
) -> Nodes {
    let node = |relation: &RawRelation| {
        let is_view = matches!(relation.kind, 'v' | 'm');
        let columns = columns.get(&relation.id).filter(|_| is_view);
        Node {
            name: QualifiedName::new(relation.schema.clone(), relation.name.clone()),
            is_view,
            exposed: schemas.iter().any(|schema| **schema == *relation.schema),
            // A view's columns cannot be dropped, so numbers have no gaps.
            column_names: columns
                .into_iter()
                .flatten()
                .map(|c| c.name.clone())
                .collect(),
        }
    };
    relations
        .iter()
        .map(|relation| (relation.id, node(relation)))
        .collect()
}

fn primary_keys(
    nodes: &Nodes,
    keys: &[RawKey],
    view_keys: &ViewKeys,
) -> HashMap<QualifiedName, Vec<String>> {
    let mut found = HashMap::default();
    for key in keys.iter().filter(|key| key.kind == 'p') {
        if let Some(node) = nodes.get(&key.relation) {
            let mut columns: Vec<_> = key.columns.iter().map(|(_, name)| name.clone()).collect();
            columns.sort_unstable();
            found.insert(node.name.clone(), columns);
        }
    }
    for (id, node) in nodes
        .iter()
        .filter(|(_, node)| node.is_view && node.exposed)
    {
        found.insert(node.name.clone(), view_keys.primary_key(*id, nodes, keys));
    }
    found
}

fn table(
    raw: RawRelation,
    node: &Node,
    primary_key: Vec<String>,
    columns: Vec<RawColumn>,
    types: &Types,
) -> Table {
    let is_table = matches!(raw.kind, 'r' | 'p');
    let can = |command| is_table || raw.commands & command != 0;
    let columns = columns
        .into_iter()
        .map(|c| (c.name.clone(), column(c, types)));
    Table {
        name: node.name.clone(),
        is_view: node.is_view,
        insertable: can(INSERT),
        updatable: can(UPDATE),
        deletable: can(DELETE),
        rls: raw.rls,
        is_partition: false,
        primary_key,
        columns: columns.collect::<IndexMap<_, _>>(),
        description: raw.description,
    }
}

fn column(raw: RawColumn, types: &Types) -> Column {
    let declared = types.get(raw.type_id);
    let domain = declared.filter(|t| t.kind == 'd');
    let labels = types.base(raw.type_id).and_then(|t| t.labels.clone());
    Column {
        nullable: !raw.not_null && !domain.is_some_and(|d| d.not_null),
        data_type: types.data_type(raw.type_id, &raw.nominal_type),
        max_length: types.max_length(raw.type_id, raw.modifier),
        default: match raw.default {
            None if !raw.generated => domain.and_then(|d| d.default.clone()),
            default => default,
        },
        enum_labels: labels.unwrap_or_default(),
        json: types.json(raw.type_id),
        generated: raw.generated || raw.identity == "a",
        name: raw.name,
        description: raw.description,
        nominal_type: raw.nominal_type,
    }
}

fn computed(raw: Vec<RawComputed>, nodes: &Nodes) -> Vec<ComputedRelationship> {
    let exposed = |id| nodes.get(&id).filter(|node| node.exposed);
    raw.into_iter()
        .filter_map(|raw| {
            let source = exposed(raw.relation)?;
            let target = exposed(raw.foreign_relation)?;
            Some(ComputedRelationship {
                function: QualifiedName::new(raw.schema, raw.name),
                table: source.name.clone(),
                foreign_table: target.name.clone(),
                to_one: raw.to_one,
                is_self: raw.relation == raw.foreign_relation,
            })
        })
        .collect()
}

/// Groups by source. A computed relationship named like a table replaces all
/// that keys say about the way to that table.
fn by_source(
    mut keyed: Vec<Relationship>,
    computed: Vec<ComputedRelationship>,
) -> HashMap<QualifiedName, Vec<Relationship>> {
    let overridden: HashSet<(&QualifiedName, &QualifiedName)> =
        computed.iter().map(|c| (&c.table, &c.function)).collect();
    keyed.retain(|relationship| {
        !overridden.contains(&(relationship.table(), relationship.foreign_table()))
    });
    let mut grouped: HashMap<QualifiedName, Vec<Relationship>> = HashMap::default();
    let computed = computed.into_iter().map(Relationship::Computed);
    for relationship in keyed.into_iter().chain(computed) {
        grouped
            .entry(relationship.table().clone())
            .or_default()
            .push(relationship);
    }
    for relationships in grouped.values_mut() {
        relationships::sort(relationships);
    }
    grouped
}

/// Dates are taken from the wire as JSON wants them, which is how ISO writes
/// them; the order of day and month in what is read may be the role's own.
fn is_foreign_date_style(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("DateStyle") && !value.to_ascii_uppercase().contains("ISO")
}

type SettingsByRole = HashMap<Arc<str>, Vec<(String, String)>>;

fn role_settings(raw: Vec<RawRoleSetting>) -> (SettingsByRole, HashMap<Arc<str>, String>) {
    let (mut settings, mut isolation) = (SettingsByRole::default(), HashMap::default());
    for RawRoleSetting { role, name, value } in raw {
        if name == ISOLATION {
            isolation.insert(role, value);
        } else if !is_foreign_date_style(&name, &value) {
            settings.entry(role).or_default().push((name, value));
        }
    }
    (settings, isolation)
}
