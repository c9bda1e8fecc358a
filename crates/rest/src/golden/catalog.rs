//! A small schema, made by hand: clients have projects, projects have tasks,
//! and users work on projects through a junction.

use pg::catalog::{
    Cardinality, Catalog, Column, ForeignKeyRelationship, IndexMap, JsonShape, Junction,
    MediaHandler, QualifiedName, Relationship, ReturnKind, ReturnType, Routine, RoutineParam,
    Table, Volatility,
};

fn name(text: &str) -> QualifiedName {
    QualifiedName::new("api", text)
}

fn column(name: &str, data_type: &str) -> (String, Column) {
    let is_serial = name == "id";
    let column = Column {
        name: name.to_owned(),
        description: None,
        nullable: !is_serial,
        data_type: data_type.to_owned(),
        nominal_type: data_type.to_owned(),
        max_length: None,
        default: is_serial.then(|| "nextval('ids'::regclass)".to_owned()),
        enum_labels: Vec::new(),
        json: if data_type.ends_with("[]") {
            JsonShape::ToJson
        } else {
            JsonShape::Direct
        },
        generated: false,
    };
    (name.to_owned(), column)
}

fn table(of: &str, key: &[&str], columns: &[(&str, &str)]) -> (QualifiedName, Table) {
    let columns = columns.iter().map(|(name, kind)| column(name, kind));
    let table = Table {
        name: name(of),
        description: None,
        is_view: false,
        insertable: true,
        updatable: true,
        deletable: true,
        rls: false,
        is_partition: false,
        primary_key: key.iter().map(|&key| key.to_owned()).collect(),
        columns: columns.collect::<IndexMap<_, _>>(),
    };
    (name(of), table)
}

fn pairs(ours: &str, theirs: &str) -> Vec<(String, String)> {
    vec![(ours.to_owned(), theirs.to_owned())]
}

fn keyed(from: &str, to: &str, cardinality: Cardinality) -> Relationship {
    Relationship::ForeignKey(ForeignKeyRelationship {
        table: name(from),
        foreign_table: name(to),
        is_self: false,
        cardinality,
        table_is_view: false,
        foreign_table_is_view: false,
    })
}

fn to_one(from: &str, column: &str, to: &str) -> Relationship {
    let cardinality = Cardinality::ManyToOne {
        constraint: format!("{from}_{column}_fkey"),
        columns: pairs(column, "id"),
    };
    keyed(from, to, cardinality)
}

fn to_many(from: &str, to: &str, column: &str) -> Relationship {
    let cardinality = Cardinality::OneToMany {
        constraint: format!("{to}_{column}_fkey"),
        columns: pairs("id", column),
    };
    keyed(from, to, cardinality)
}

fn through(from: &str, source: &str, to: &str, target: &str) -> Relationship {
    let cardinality = Cardinality::ManyToMany(Junction {
        table: name("users_projects"),
        constraint_source: format!("users_projects_{source}_fkey"),
        constraint_target: format!("users_projects_{target}_fkey"),
        columns_source: pairs("id", source),
        columns_target: pairs("id", target),
    });
    keyed(from, to, cardinality)
}

fn param(name: &str, data_type: &str, required: bool) -> RoutineParam {
    RoutineParam {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        data_type_max_length: data_type.to_owned(),
        required,
        variadic: false,
    }
}

fn routine(of: &str, params: Vec<RoutineParam>, set: bool, kind: ReturnKind) -> Routine {
    Routine {
        name: name(of),
        description: None,
        params,
        returns: ReturnType { set, kind },
        volatility: Volatility::Volatile,
        variadic: false,
        settings: Vec::new(),
    }
}

fn scalar(type_name: QualifiedName) -> ReturnKind {
    ReturnKind::Scalar {
        name: type_name,
        json: JsonShape::Direct,
    }
}

fn routines() -> Vec<Routine> {
    let integer = || scalar(QualifiedName::new("pg_catalog", "int4"));
    let rows = |of| ReturnKind::Composite {
        name: of,
        is_alias: false,
    };
    let two = vec![param("a", "integer", true), param("b", "integer", false)];
    vec![
        routine("add", two, false, integer()),
        routine(
            "open_projects",
            vec![param("since", "date", true)],
            true,
            rows(name("projects")),
        ),
        routine(
            "projects",
            Vec::new(),
            true,
            rows(QualifiedName::new("pg_catalog", "record")),
        ),
        routine("upload", vec![param("", "bytea", true)], false, integer()),
        routine(
            "page.html",
            Vec::new(),
            false,
            scalar(QualifiedName::new("pg_catalog", "text")),
        ),
    ]
}

pub(super) fn catalog() -> Catalog {
    let projects = [
        ("id", "integer"),
        ("name", "text"),
        ("client_id", "integer"),
        ("data", "jsonb"),
        ("tags", "text[]"),
        ("search", "tsvector"),
    ];
    let junction = [("user_id", "integer"), ("project_id", "integer")];
    let named = [("id", "integer"), ("name", "text")];
    let task = [
        ("id", "integer"),
        ("name", "text"),
        ("project_id", "integer"),
    ];
    let relationships = [
        to_one("projects", "client_id", "clients"),
        to_many("projects", "tasks", "project_id"),
        through("projects", "project_id", "users", "user_id"),
        to_many("clients", "projects", "client_id"),
        to_one("tasks", "project_id", "projects"),
        through("users", "user_id", "projects", "project_id"),
    ];
    let mut catalog = Catalog {
        tables: [
            table("projects", &["id"], &projects),
            table("clients", &["id"], &named),
            table("tasks", &["id"], &task),
            table("users", &["id"], &named),
            table("users_projects", &["project_id", "user_id"], &junction),
        ]
        .into_iter()
        .collect(),
        media_handlers: vec![MediaHandler {
            function: name("page.html"),
            relation: Some(name("page.html")),
            media_type: "text/html".to_owned(),
            domain: name("text/html"),
            is_routine: true,
        }],
        ..Catalog::default()
    };
    for relationship in relationships {
        let source = relationship.table().clone();
        catalog
            .relationships
            .entry(source)
            .or_default()
            .push(relationship);
    }
    for routine in routines() {
        let overloads = catalog.routines.entry(routine.name.clone()).or_default();
        overloads.push(routine);
    }
    catalog
}
