//! The second stage: a call meets the catalog and becomes a plan, or is
//! refused with a `PGRST2xx` error. Pure: no connection is known here.
//!
//! [`read`] plans reads, [`mutate`] writes, [`routine`] function calls,
//! [`negotiate`] chooses the media type. The result is a [`Plan`].

pub(crate) mod aggregates;
pub(crate) mod embeds;
pub(crate) mod mutate;
pub(crate) mod negotiate;
pub(crate) mod read;
pub(crate) mod refuse;
pub(crate) mod relate;
pub(crate) mod resolve;
pub(crate) mod routine;
pub(crate) mod tree;

use pg::catalog::{Catalog, QualifiedName, ReturnKind, Routine, Table, Volatility};

use crate::call::media::MediaType;
use crate::call::prefer::Representation;
use crate::call::{Action, Call, Invocation, Mutation};
use crate::config::Config;
use crate::error::RestError;
use mutate::MutatePlan;
use negotiate::Handler;
use read::ReadInput;
use routine::CallPlan;
use tree::ReadNode;

/// What will be done.
#[derive(Clone, Debug)]
pub(crate) enum Plan<'c> {
    /// GET or HEAD on a table.
    Read(Box<ReadPlan<'c>>),
    /// POST, PATCH, PUT or DELETE on a table.
    Mutate(Box<MutateReadPlan<'c>>),
    /// A function call.
    Call(Box<CallReadPlan<'c>>),
    /// The OpenAPI root.
    Root,
    /// OPTIONS: the methods that are allowed.
    Info { allow: String },
}

#[derive(Clone, Debug)]
pub(crate) struct ReadPlan<'c> {
    pub(crate) table: QualifiedName,
    pub(crate) tree: ReadNode,
    /// What `*` stands for, when the catalog knows it.
    pub(crate) star: Option<&'c Table>,
    pub(crate) handler: Handler,
    pub(crate) media: MediaType,
}

#[derive(Clone, Debug)]
pub(crate) struct MutateReadPlan<'c> {
    pub(crate) table: QualifiedName,
    pub(crate) mutate: MutatePlan,
    pub(crate) tree: ReadNode,
    pub(crate) star: Option<&'c Table>,
    pub(crate) handler: Handler,
    pub(crate) media: MediaType,
    /// For the `Location` header.
    pub(crate) primary_key: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct CallReadPlan<'c> {
    pub(crate) routine: &'c Routine,
    pub(crate) call: CallPlan,
    pub(crate) tree: ReadNode,
    pub(crate) star: Option<&'c Table>,
    pub(crate) handler: Handler,
    pub(crate) media: MediaType,
    pub(crate) read_only: bool,
}

/// Plans a call.
pub(crate) fn plan<'c>(
    catalog: &'c Catalog,
    config: &Config,
    call: &Call,
) -> Result<Plan<'c>, RestError> {
    match &call.action {
        Action::Read { relation } => read_table(catalog, config, call, relation),
        Action::Mutate { relation, mutation } => {
            mutate_table(catalog, config, call, relation, *mutation)
        }
        Action::Invoke {
            routine,
            invocation,
        } => {
            let plan = call_routine(catalog, config, call, routine, *invocation)?;
            Ok(Plan::Call(Box::new(plan)))
        }
        Action::RootRead => {
            negotiate::root(&call.accept)?;
            Ok(Plan::Root)
        }
        Action::RelationInfo { relation } => Ok(Plan::Info {
            allow: table_methods(
                catalog,
                &QualifiedName::new(call.schema.as_str(), relation.as_str()),
            )?,
        }),
        Action::RoutineInfo { routine } => {
            let plan = call_routine(catalog, config, call, routine, Invocation::Read)?;
            let allow = match plan.routine.volatility {
                Volatility::Volatile => "OPTIONS,POST",
                Volatility::Stable | Volatility::Immutable => "OPTIONS,GET,HEAD,POST",
            };
            Ok(Plan::Info {
                allow: allow.to_owned(),
            })
        }
        Action::RootInfo => Ok(Plan::Info {
            allow: "OPTIONS,GET,HEAD".to_owned(),
        }),
    }
}

fn read_table<'c>(
    catalog: &'c Catalog,
    config: &Config,
    call: &Call,
    name: &str,
) -> Result<Plan<'c>, RestError> {
    let table = find_table(catalog, call, name)?;
    let tree = read::build(&input(catalog, config, call, table.clone()))?;
    let (handler, media) = negotiate::table(catalog, config, call, &table, &tree)?;
    call.prefer.check()?;
    Ok(Plan::Read(Box::new(ReadPlan {
        star: catalog.table(&table),
        table,
        tree,
        handler,
        media,
    })))
}

fn mutate_table<'c>(
    catalog: &'c Catalog,
    config: &Config,
    call: &Call,
    name: &str,
    mutation: Mutation,
) -> Result<Plan<'c>, RestError> {
    let name = find_table(catalog, call, name)?;
    let Some(table) = catalog.table(&name) else {
        return Err(refuse::table_not_found(catalog, &name));
    };
    let tree = read::build(&ReadInput {
        from_source: true,
        is_write: true,
        ..input(catalog, config, call, name.clone())
    })?;
    let mutate = mutate::build(catalog, call, table, mutation, &tree)?;
    call.prefer.check()?;
    let (handler, media) = negotiate::table(catalog, config, call, &name, &tree)?;
    let full = call.prefer.representation == Some(Representation::Full);
    Ok(Plan::Mutate(Box::new(MutateReadPlan {
        star: Some(table),
        primary_key: location_key(table, &tree),
        table: name,
        mutate,
        tree,
        handler: if full { handler } else { Handler::None },
        media,
    })))
}

/// The primary key as `Location` lists it: as the table does when all columns
/// are returned, otherwise by name.
fn location_key(table: &Table, tree: &ReadNode) -> Vec<String> {
    let mut key = table.primary_key.clone();
    if key.len() > 1 {
        if tree.select.iter().any(|item| item.field.is_star()) {
            key.sort_by_key(|name| table.columns.get_index_of(name));
        } else {
            key.sort_unstable();
        }
    }
    key
}

fn call_routine<'c>(
    catalog: &'c Catalog,
    config: &Config,
    call: &Call,
    name: &str,
    invocation: Invocation,
) -> Result<CallReadPlan<'c>, RestError> {
    let name = QualifiedName::new(call.schema.as_str(), name);
    let (routine, call_plan) = routine::find(catalog, call, &name, invocation)?;
    let table = routine::row_type(routine);
    let mut tree = read::build(&ReadInput {
        from_source: true,
        ..input(catalog, config, call, table.clone())
    })?;
    let star = returned_table(catalog, routine);
    if star.is_none_or(|rows_of| rows_of.name != table) {
        // A table that is merely called like the function says nothing about
        // the types of its columns.
        for item in &mut tree.select {
            item.field.json = None;
        }
    }
    let call_plan = routine::complete(call_plan, &tree);
    let (handler, media) = negotiate::table(catalog, config, call, &table, &tree)?;
    call.prefer.check()?;
    if call.prefer.enforced_max_affected().is_some() && !routine.returns.set {
        return Err(RestError::MaxAffectedRoutine);
    }
    let read_only = invocation != Invocation::Post || routine.volatility != Volatility::Volatile;
    Ok(CallReadPlan {
        star,
        routine,
        call: call_plan,
        tree,
        handler,
        media,
        read_only,
    })
}

/// The table whose rows the function returns, if it says so.
fn returned_table<'c>(catalog: &'c Catalog, routine: &Routine) -> Option<&'c Table> {
    match &routine.returns.kind {
        ReturnKind::Composite { name, .. } => catalog.table(name),
        ReturnKind::Scalar { .. } | ReturnKind::Void => None,
    }
}

fn input<'a>(
    catalog: &'a Catalog,
    config: &Config,
    call: &'a Call,
    table: QualifiedName,
) -> ReadInput<'a> {
    ReadInput {
        catalog,
        query: &call.query,
        table,
        from_source: false,
        is_write: false,
        range: call.range,
        rows_max: config.max_rows,
        aggregates: config.aggregates_enabled,
        legacy_target_names: config.legacy_target_names,
    }
}

fn find_table(catalog: &Catalog, call: &Call, name: &str) -> Result<QualifiedName, RestError> {
    let name = QualifiedName::new(call.schema.as_str(), name);
    if catalog.table(&name).is_some() {
        Ok(name)
    } else {
        Err(refuse::table_not_found(catalog, &name))
    }
}

fn table_methods(catalog: &Catalog, name: &QualifiedName) -> Result<String, RestError> {
    let table = catalog
        .table(name)
        .ok_or_else(|| refuse::table_not_found(catalog, name))?;
    let put = table.insertable && table.updatable && !table.primary_key.is_empty();
    let methods = [
        (true, "OPTIONS,GET,HEAD"),
        (table.insertable, "POST"),
        (put, "PUT"),
        (table.updatable, "PATCH"),
        (table.deletable, "DELETE"),
    ];
    let allowed: Vec<&str> = methods
        .iter()
        .filter(|(allowed, _)| *allowed)
        .map(|(_, method)| *method)
        .collect();
    Ok(allowed.join(","))
}
