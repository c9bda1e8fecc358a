//! Functions: arguments by name, what they return, in which order overloads
//! are tried.

use crate::catalog::model::{
    HashMap, MediaHandler, QualifiedName, ReturnKind, ReturnType, Routine, RoutineParam, Volatility,
};
use crate::catalog::raw::{RawMediaHandler, RawRoutine};
use crate::catalog::types::Types;

const VOID: u32 = 2278;
const ANYELEMENT: &str = "anyelement";

pub(super) fn build(raw: Vec<RawRoutine>, types: &Types) -> HashMap<QualifiedName, Vec<Routine>> {
    let mut routines: HashMap<QualifiedName, Vec<Routine>> = HashMap::default();
    for raw in raw {
        if let Some(routine) = routine(raw, types) {
            routines
                .entry(routine.name.clone())
                .or_default()
                .push(routine);
        }
    }
    for overloads in routines.values_mut() {
        // Fewest arguments first; the rest only makes the order stable.
        overloads.sort_by(|a, b| {
            let names = |r: &Routine| -> Vec<(String, String)> {
                let params = r.params.iter();
                params
                    .map(|p| (p.name.clone(), p.data_type.clone()))
                    .collect()
            };
            (a.params.len(), &a.description, names(a)).cmp(&(
                b.params.len(),
                &b.description,
                names(b),
            ))
        });
    }
    routines
}

/// `None` for a type that vanished between two queries.
fn routine(raw: RawRoutine, types: &Types) -> Option<Routine> {
    let base = types.base(raw.returns)?;
    // A trigger's domain cannot exist, but costs nothing to refuse.
    if &*base.name == "trigger" && &*base.schema == "pg_catalog" {
        return None;
    }
    let kind = if base.kind == 'c' || raw.returns_columns {
        ReturnKind::Composite {
            name: Types::qualified(base),
            is_alias: base.id != raw.returns,
        }
    } else if base.id == VOID {
        ReturnKind::Void
    } else {
        ReturnKind::Scalar {
            name: Types::qualified(base),
            json: types.json(raw.returns),
        }
    };
    let required = raw.required;
    let params: Vec<_> = raw
        .params
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, (name, type_id, variadic))| {
            let data_type = types.formatted(type_id);
            RoutineParam {
                name,
                data_type_max_length: longest(&data_type).to_owned(),
                data_type,
                required: index < required,
                variadic,
            }
        })
        .collect();
    Some(Routine {
        name: QualifiedName::new(raw.schema, raw.name),
        description: raw.description,
        variadic: params.iter().any(|param| param.variadic),
        params,
        returns: ReturnType {
            set: raw.returns_set,
            kind,
        },
        volatility: match raw.volatility {
            'i' => Volatility::Immutable,
            's' => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        settings: raw.settings.unwrap_or_default(),
    })
}

/// Without a length these types mean length 1 in a column list, but any
/// length as an argument; this is what says the same there.
fn longest(data_type: &str) -> &str {
    match data_type {
        "bit" => "bit varying",
        "bit[]" => "bit varying[]",
        "character" => "character varying",
        "character[]" => "character varying[]",
        other => other,
    }
}

pub(super) fn media_handler(raw: RawMediaHandler) -> MediaHandler {
    let function = QualifiedName::new(raw.schema, raw.name);
    let relation = match (raw.relation_schema, raw.relation_name) {
        _ if raw.is_routine => Some(function.clone()),
        (Some(schema), Some(name)) => (&*schema != "pg_catalog" || &*name != ANYELEMENT)
            .then(|| QualifiedName::new(schema, name)),
        _ => None,
    };
    MediaHandler {
        function,
        relation,
        media_type: raw.domain_name.to_lowercase(),
        domain: QualifiedName::new(raw.domain_schema, raw.domain_name),
        is_routine: raw.is_routine,
    }
}
