//! Documents of catalogs made by hand. That the statements say the same of a
//! real database is shown by the replayed cases.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests; JSON answers null for what is not there"
)]

use std::sync::Arc;

use pg::catalog::{
    Cardinality, Column, ForeignKeyRelationship, JsonShape, QualifiedName, Relationship,
    ReturnKind, ReturnType, Routine, RoutineParam,
    Volatility::{self, Stable, Volatile},
};
use serde_json::{Value, json};

use super::*;

fn named(name: &str) -> QualifiedName {
    QualifiedName::new("test", name)
}

fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        description: None,
        nullable: true,
        data_type: data_type.to_owned(),
        nominal_type: data_type.to_owned(),
        max_length: None,
        default: None,
        enum_labels: Vec::new(),
        json: JsonShape::Direct,
        generated: false,
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        name: named(name),
        description: None,
        is_view: false,
        insertable: true,
        updatable: true,
        deletable: true,
        rls: false,
        is_partition: false,
        primary_key: Vec::new(),
        columns: columns.into_iter().map(|c| (c.name.clone(), c)).collect(),
    }
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

fn routine(name: &str, volatility: Volatility, params: Vec<RoutineParam>) -> Routine {
    Routine {
        name: named(name),
        description: None,
        variadic: params.iter().any(|param| param.variadic),
        params,
        returns: ReturnType {
            set: false,
            kind: ReturnKind::Void,
        },
        volatility,
        settings: Vec::new(),
    }
}

fn catalog(tables: Vec<Table>, routines: Vec<Routine>) -> Catalog {
    let mut catalog = Catalog::default();
    for table in tables {
        catalog.tables.insert(table.name.clone(), table);
    }
    for routine in routines {
        let overloads = catalog.routines.entry(routine.name.clone());
        overloads.or_default().push(routine);
    }
    catalog
}

fn key(table: &str, foreign: &str, columns: &[(&str, &str)], view: bool) -> Relationship {
    let columns = columns.iter();
    Relationship::ForeignKey(ForeignKeyRelationship {
        table: named(table),
        foreign_table: named(foreign),
        is_self: false,
        cardinality: Cardinality::ManyToOne {
            constraint: "fk".to_owned(),
            columns: columns
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
        },
        table_is_view: false,
        foreign_table_is_view: view,
    })
}

/// What is written about everything, to the caller with this comment.
fn written(catalog: &Catalog, config: &Config, comment: Option<&str>) -> Value {
    let config = Config {
        openapi_ignore_privileges: true,
        ..config.clone()
    };
    let mut scope = Scope::read(catalog, &config, "test", &[]);
    scope.comment = comment;
    let text = serde_json::to_string(&describe(catalog, &config, &scope)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn written_plainly(catalog: &Catalog) -> Value {
    written(catalog, &Config::default(), None)
}

#[test]
fn the_callers_schema_is_asked_about_and_nothing_more_than_needed() {
    let asked = statements("my schema", false);
    assert_eq!(asked.len(), 3);
    for statement in &asked {
        assert_eq!(statement.params(), [Some("my schema".to_owned())]);
    }
    assert_eq!(statements("test", true).len(), 1);
}

#[test]
fn without_answers_there_is_only_the_frame() {
    let catalog = catalog(
        vec![table("items", vec![column("id", "bigint")])],
        vec![routine("f", Stable, Vec::new())],
    );
    let text = document(&catalog, &Config::default(), "test", &[]);
    let spec: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(spec["swagger"], "2.0");
    assert_eq!(spec["paths"].as_object().unwrap().len(), 1);
    assert_eq!(spec["definitions"], Value::Null);
    assert_eq!(spec["parameters"].as_object().unwrap().len(), 11);
    assert_eq!(
        spec["parameters"]["rangeUnit"],
        json!({
            "name": "Range-Unit", "in": "header", "required": false, "type": "string",
            "description": "Limiting and Pagination", "default": "items"
        })
    );
    assert_eq!(spec["host"], "0.0.0.0:3000");
    assert_eq!(spec["basePath"], "/");
    assert_eq!(spec["security"], Value::Null);
}

#[test]
fn other_schemas_and_partitions_are_left_out() {
    let mut elsewhere = table("elsewhere", Vec::new());
    elsewhere.name.schema = Arc::from("private");
    let mut partition = table("items_2026", Vec::new());
    partition.is_partition = true;
    let spec = written_plainly(&catalog(vec![elsewhere, partition], Vec::new()));
    assert_eq!(spec["paths"].as_object().unwrap().len(), 1);
}

#[test]
fn the_schemas_comment_gives_title_and_description() {
    let catalog = Catalog::default();
    let config = Config::default();
    let info = |comment| written(&catalog, &config, comment)["info"].take();
    let both = info(Some("My title\n\nfirst\nsecond"));
    assert_eq!(both["title"], "My title");
    assert_eq!(both["description"], "first\nsecond");
    assert_eq!(both["version"], env!("CARGO_PKG_VERSION"));
    let title_only = info(Some("standard public schema"));
    assert_eq!(title_only["title"], "standard public schema");
    assert_eq!(title_only["description"], "");
    assert_eq!(info(None)["title"], "PostgREST API");
}

#[test]
fn definitions_tell_of_keys_comments_and_required_columns() {
    let mut id = column("id", "integer");
    id.nullable = false;
    id.description = Some("the id".to_owned());
    id.default = Some("nextval('test.children_id_seq'::regclass)".to_owned());
    let pair = column("pair_a", "integer");
    let mut children = table("children", vec![id, column("parent_id", "bigint"), pair]);
    children.description = Some("children comment".to_owned());
    children.primary_key = vec!["id".to_owned()];
    let mut catalog = catalog(vec![children], Vec::new());
    let mut hidden = key("children", "hidden", &[("pair_a", "a")], false);
    if let Relationship::ForeignKey(key) = &mut hidden {
        key.foreign_table.schema = Arc::from("private");
    }
    let relationships = vec![
        key("children", "parents_view", &[("parent_id", "id")], true),
        key("children", "parents", &[("parent_id", "id")], false),
        key("children", "pairs", &[("pair_a", "a"), ("id", "b")], false),
        hidden,
    ];
    catalog
        .relationships
        .insert(named("children"), relationships);
    assert_eq!(
        written_plainly(&catalog)["definitions"]["children"],
        json!({
            "type": "object",
            "description": "children comment",
            "required": ["id"],
            "properties": {
                "id": {
                    "type": "integer", "format": "int32",
                    "description": "the id\n\nNote:\nThis is a Primary Key.<pk/>"
                },
                "parent_id": {
                    "type": "integer", "format": "int64",
                    "description": "Note:\nThis is a Foreign Key to `parents.id`.\
                                    <fk table='parents' column='id'/>"
                },
                "pair_a": { "type": "integer", "format": "int32" }
            }
        })
    );
}

#[test]
fn types_have_a_json_type_and_keep_their_name_as_format() {
    let mut character = column("character", "character");
    character.max_length = Some(1);
    let mut mood = column("mood", "test.mood");
    mood.enum_labels = vec!["sad".to_owned(), "ok".to_owned()];
    let types = table(
        "types",
        vec![
            character,
            mood,
            column("real", "real"),
            column("bool", "boolean"),
            column("json", "jsonb"),
            column("ints", "integer[]"),
            column("jsons", "json[]"),
        ],
    );
    assert_eq!(
        written_plainly(&catalog(vec![types], Vec::new()))["definitions"]["types"]["properties"],
        json!({
            "character": { "type": "string", "format": "character", "maxLength": 1 },
            "mood": { "type": "string", "format": "test.mood", "enum": ["sad", "ok"] },
            "real": { "type": "number", "format": "real" },
            "bool": { "type": "boolean", "format": "boolean" },
            "json": { "format": "jsonb" },
            "ints": { "type": "array", "format": "integer[]", "items": { "type": "integer" } },
            "jsons": { "type": "array", "format": "json[]", "items": {} }
        })
    );
}

#[test]
fn defaults_are_told_when_they_are_constants() {
    let default = |data_type, expression| {
        types::default(data_type, expression).map(|json| json.get().to_owned())
    };
    let constant = |json: &str| Some(json.to_owned());
    assert_eq!(default("text", "'default'::text"), constant("\"default\""));
    assert_eq!(
        default("date", "'1900-01-01'::date"),
        constant("\"1900-01-01\"")
    );
    assert_eq!(default("test.mood", "'ok'::test.mood"), constant("\"ok\""));
    assert_eq!(default("boolean", "false"), constant("false"));
    assert_eq!(default("numeric", "42.20"), constant("42.20"));
    assert_eq!(default("bigint", "nextval('s'::regclass)"), None);
    assert_eq!(default("integer[]", "'{}'::integer[]"), None);
    assert_eq!(default("text", "'say \"hi\"'::text"), None);
}

#[test]
fn tables_are_read_and_written_by_four_methods() {
    let mut items = table(
        "items",
        vec![column("id", "bigint"), column("name", "text")],
    );
    items.description = Some("Items\n\nthat one can\nbuy".to_owned());
    let mut view = table("names", vec![column("name", "text")]);
    (view.insertable, view.updatable, view.deletable) = (false, false, false);
    let spec = written_plainly(&catalog(vec![items, view], Vec::new()));
    let path = &spec["paths"]["/items"];
    assert_eq!(path["get"]["tags"], json!(["items"]));
    assert_eq!(path["get"]["summary"], "Items");
    assert_eq!(path["get"]["description"], "that one can\nbuy");
    let references = |method: &str| -> Vec<String> {
        let parameters = path[method]["parameters"].as_array().unwrap();
        let pointers = parameters.iter().map(|p| p["$ref"].as_str().unwrap());
        pointers
            .map(|p| p.strip_prefix("#/parameters/").unwrap().to_owned())
            .collect()
    };
    let filters = ["rowFilter.items.id", "rowFilter.items.name"];
    let reading = [
        "select",
        "order",
        "range",
        "rangeUnit",
        "offset",
        "limit",
        "preferCount",
    ];
    assert_eq!(references("get"), [&filters[..], &reading].concat());
    assert_eq!(references("post"), ["body.items", "select", "preferPost"]);
    assert_eq!(
        references("patch"),
        [&filters[..], &["body.items", "preferReturn"]].concat()
    );
    assert_eq!(
        references("delete"),
        [&filters[..], &["preferReturn"]].concat()
    );
    for pointer in references("patch") {
        assert_ne!(spec["parameters"][&pointer], Value::Null, "{pointer}");
    }
    assert_eq!(
        spec["parameters"]["body.items"],
        json!({
            "name": "items", "in": "body", "required": false, "description": "items",
            "schema": { "$ref": "#/definitions/items" }
        })
    );
    assert_eq!(
        path["get"]["responses"]["200"]["schema"],
        json!({ "type": "array", "items": { "$ref": "#/definitions/items" } })
    );
    let methods: Vec<_> = spec["paths"]["/names"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(methods, ["get"]);
}

#[test]
fn functions_take_arguments_from_the_query_and_from_a_body() {
    let mut arguments = vec![
        param("ids", "integer[]", true),
        param("data", "jsonb", false),
    ];
    let call = routine("call", Stable, arguments.clone());
    arguments.clear();
    let change = routine("change", Volatile, arguments);
    let spec = written_plainly(&catalog(Vec::new(), vec![call, change]));
    let path = &spec["paths"]["/rpc/call"];
    assert_eq!(path["get"]["tags"], json!(["(rpc) call"]));
    assert_eq!(
        path["get"]["parameters"],
        json!([
            { "name": "ids", "in": "query", "required": true,
              "type": "string", "format": "integer[]" },
            { "name": "data", "in": "query", "required": false,
              "type": "string", "format": "jsonb" }
        ])
    );
    assert_eq!(
        path["post"]["parameters"],
        json!([
            { "name": "args", "in": "body", "required": true, "schema": {
                "type": "object",
                "required": ["ids"],
                "properties": {
                    "ids": { "type": "array", "format": "integer[]",
                             "items": { "type": "integer" } },
                    "data": { "format": "jsonb" }
                }
            } },
            { "$ref": "#/parameters/preferParams" }
        ])
    );
    let change = &spec["paths"]["/rpc/change"];
    assert_eq!(change["get"], Value::Null);
    assert_eq!(
        change["post"]["parameters"][0]["schema"],
        json!({ "type": "object" })
    );
}

#[test]
fn a_variadic_argument_is_repeated() {
    let mut rest = param("v", "text[]", false);
    rest.variadic = true;
    let spec = written_plainly(&catalog(Vec::new(), vec![routine("f", Stable, vec![rest])]));
    assert_eq!(
        spec["paths"]["/rpc/f"]["get"]["parameters"][0],
        json!({
            "name": "v", "in": "query", "required": false, "type": "array",
            "collectionFormat": "multi", "items": { "type": "string", "format": "text" }
        })
    );
}

#[test]
fn the_longest_overload_is_shown() {
    let long = routine(
        "f",
        Stable,
        vec![param("a", "text", true), param("b", "text", true)],
    );
    let mut short = routine("f", Stable, vec![param("z", "text", true)]);
    short.description = Some("short".to_owned());
    let spec = written_plainly(&catalog(Vec::new(), vec![long, short]));
    let parameters = &spec["paths"]["/rpc/f"]["get"]["parameters"];
    assert_eq!(parameters.as_array().unwrap().len(), 2);
}

#[test]
fn the_token_is_described_when_asked_for() {
    let config = Config {
        openapi_security: true,
        ..Config::default()
    };
    let spec = written(&Catalog::default(), &config, None);
    assert_eq!(spec["security"], json!([{ "JWT": [] }]));
    assert_eq!(
        spec["securityDefinitions"]["JWT"],
        json!({
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "Add the token prepending \"Bearer \" (without quotes) to it"
        })
    );
}

#[test]
fn a_proxy_is_where_the_api_is() {
    let origin = |uri: &str| {
        let found = Origin::of(&Config {
            openapi_proxy: Some(uri.to_owned()),
            ..Config::default()
        });
        (found.scheme, found.host, found.base_path)
    };
    let expected = |scheme, host: &str, path: &str| (scheme, host.to_owned(), path.to_owned());
    assert_eq!(
        origin("https://example.com/openapi.json"),
        expected("https", "example.com:443", "/openapi.json")
    );
    assert_eq!(
        origin("http://example.com:8080"),
        expected("http", "example.com:8080", "/")
    );
    let unknown = expected("http", "0.0.0.0:3000", "/");
    for bad in [
        "example.com",
        "/path",
        "ftp://example.com/",
        "https://me@example.com/",
        "https://example.com/?query",
    ] {
        assert_eq!(origin(bad), unknown, "{bad}");
    }
}
