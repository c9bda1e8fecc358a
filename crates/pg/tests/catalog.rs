//! The catalog of a small but varied database (`data/catalog.sql`), read from
//! a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kernel::{Clock, Tasks};
use pg::catalog::live::{Event, keep_fresh};
use pg::catalog::{
    Cardinality, Catalog, JsonShape, LoadOptions, QualifiedName, Relationship, ReturnKind,
    Volatility, load, load_timezones, pre_config, role_config,
};
use pg::cluster::{Cluster, ClusterConfig};
use pg::{Session, Target};
use tempfile::TempDir;

struct Database {
    target: Target,
    tasks: Tasks,
    _cluster: Cluster,
    _folder: TempDir,
}

async fn database() -> Database {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = ClusterConfig::new(folder.path().join(".ferrobase"), Clock::system());
    config.state_folder = folder.path().join("state");
    config.port = None;
    config.shared_buffers_mib = 16;
    let tasks = Tasks::new();
    let cluster = Cluster::start(config, &tasks, |_| ()).await.unwrap();
    let target = cluster.target(Cluster::superuser(), "postgres");
    let mut session = Session::connect(&target).await.unwrap();
    session
        .script(include_str!("data/catalog.sql"))
        .await
        .unwrap();
    Database {
        target,
        tasks,
        _cluster: cluster,
        _folder: folder,
    }
}

fn options() -> LoadOptions {
    let mut options = LoadOptions::for_schemas(vec!["api".to_owned()]);
    options.extra_search_path = vec!["hidden".to_owned()];
    options
}

fn api(name: &str) -> QualifiedName {
    QualifiedName::new("api", name)
}

/// A relationship in one line: `kind target constraint ours=theirs …`.
fn describe(relationship: &Relationship) -> String {
    let pairs = |columns: &[(String, String)]| {
        let pairs: Vec<_> = columns.iter().map(|(a, b)| format!("{a}={b}")).collect();
        pairs.join(",")
    };
    let target = &relationship.foreign_table().name;
    match relationship {
        Relationship::Computed(computed) => {
            format!(
                "computed {target} {} one={}",
                computed.function.name, computed.to_one
            )
        }
        Relationship::ForeignKey(key) => match &key.cardinality {
            Cardinality::OneToMany { columns, .. } => format!("o2m {target} {}", pairs(columns)),
            Cardinality::ManyToOne { columns, .. } => format!("m2o {target} {}", pairs(columns)),
            Cardinality::OneToOne {
                columns, is_parent, ..
            } => {
                format!("o2o {target} {} parent={is_parent}", pairs(columns))
            }
            Cardinality::ManyToMany(junction) => format!(
                "m2m {target} {} {} {}",
                junction.table.name,
                pairs(&junction.columns_source),
                pairs(&junction.columns_target)
            ),
        },
    }
}

fn described(catalog: &Catalog, table: &str) -> Vec<String> {
    catalog
        .relationships_from(&api(table))
        .iter()
        .map(describe)
        .collect()
}

#[tokio::test]
async fn everything_in_the_database_is_seen() {
    let database = database().await;
    let mut session = Session::connect(&database.target).await.unwrap();
    let catalog = load(&mut session, &options()).await.unwrap();
    tables_and_columns(&catalog);
    relationships(&catalog);
    routines(&catalog);
    hints(&catalog);
    assert_eq!(catalog.schema_comments["api"], "What the world sees");
    assert!(!catalog.response_settings_used);
    assert!(!catalog.session_settings_used);
    settings(&mut session).await;
    let catalog = load(&mut session, &options()).await.unwrap();
    assert!(catalog.response_settings_used);
    assert!(catalog.session_settings_used);
    session.close().await;
    database.tasks.stop().await;
}

fn tables_and_columns(catalog: &Catalog) {
    let mut names: Vec<_> = catalog.tables.keys().map(|name| &*name.name).collect();
    names.sort_unstable();
    let expected = "clients details members people project_list projects sales simple";
    assert_eq!(names.join(" "), expected, "no partition, nothing hidden");

    let projects = catalog.table(&api("projects")).unwrap();
    assert!(projects.rls && projects.insertable && !projects.is_view);
    assert_eq!(projects.description.as_deref(), Some("What is done"));
    assert_eq!(projects.primary_key, ["id"]);
    let column = |name: &str| &projects.columns[name];
    assert!(column("id").generated && column("id").default.is_none());
    assert!(column("twice").generated && column("twice").default.is_none());
    let code = column("code");
    assert_eq!(
        (&*code.data_type, &*code.nominal_type),
        ("character varying", "api.short")
    );
    assert_eq!((code.max_length, code.nullable), (Some(5), false));
    assert_eq!(code.default.as_deref(), Some("'none'::character varying"));
    assert_eq!(column("mood").enum_labels, ["sad", "happy"]);
    assert_eq!(column("mood").json, JsonShape::Direct);
    assert_eq!(column("tags").json, JsonShape::ToJson);
    // `to_json` looks through domains and does not see their casts.
    assert_eq!(column("paint").json, JsonShape::Direct);
    let key = ("api.colour".to_owned(), "json".to_owned());
    assert_eq!(catalog.representations[&key].function, api("to_json"));

    let identity = &catalog.table(&api("clients")).unwrap().columns["id"];
    assert_eq!(
        identity.default.as_deref(),
        Some("nextval('api.clients_id_seq')")
    );
    assert_eq!(
        catalog.table(&api("members")).unwrap().primary_key,
        ["person_id", "project_id"]
    );

    let list = catalog.table(&api("project_list")).unwrap();
    assert!(list.is_view && !list.insertable && !list.updatable && !list.deletable);
    assert_eq!(list.primary_key, ["odd :resno 9 {name"]);
    let simple = catalog.table(&api("simple")).unwrap();
    assert!(simple.insertable && simple.updatable && simple.deletable);
}

fn relationships(catalog: &Catalog) {
    assert_eq!(
        described(catalog, "projects"),
        [
            "m2o clients client_id=id",
            "o2o details id=project_id parent=true",
            "o2m members id=project_id",
            "m2m people members id=project_id id=person_id",
            "computed people lead one=true",
        ]
    );
    assert_eq!(
        described(catalog, "people"),
        [
            "o2m members id=person_id",
            "o2m people id=boss_id",
            "m2o people boss_id=id",
            "m2m project_list members id=person_id odd :resno 9 {name=project_id",
            "m2m projects members id=person_id id=project_id",
            "m2m simple members id=person_id id=project_id",
        ]
    );
    assert_eq!(
        described(catalog, "project_list"),
        [
            "m2o clients again=id",
            "m2o clients customer=id",
            "o2o details odd :resno 9 {name=project_id parent=true",
            "o2m members odd :resno 9 {name=project_id",
            "m2m people members odd :resno 9 {name=project_id id=person_id",
        ]
    );
}

fn routines(catalog: &Catalog) {
    let overloads = catalog.routines(&api("add_them"));
    let counts: Vec<_> = overloads
        .iter()
        .map(|routine| routine.params.len())
        .collect();
    assert_eq!(counts, [2, 3]);
    assert_eq!(overloads[0].volatility, Volatility::Immutable);
    let required: Vec<_> = overloads[0]
        .params
        .iter()
        .map(|param| param.required)
        .collect();
    assert_eq!(required, [true, false]);
    assert!(overloads[1].variadic && overloads[1].params[2].variadic);
    let timeout = ("statement_timeout".to_owned(), "5s".to_owned());
    assert_eq!(overloads[1].settings, [timeout]);

    let out_first = &catalog.routines(&api("out_first"))[0];
    let names: Vec<_> = out_first.params.iter().map(|p| &*p.name).collect();
    assert_eq!(names, ["y", "z"]);
    assert_eq!(
        out_first.params[0].data_type_max_length,
        "character varying"
    );
    assert!(
        matches!(&out_first.returns.kind, ReturnKind::Composite { name, .. } if &*name.name == "record")
    );
    assert_eq!(
        catalog.routines(&api("raw"))[0].returns.kind,
        ReturnKind::Void
    );
    assert!(catalog.routines(&api("trigger")).is_empty());
    // One unnamed argument that is not a body cannot be called by name.
    assert!(catalog.routines(&api("unnamed")).is_empty());

    let handler = catalog
        .media_handlers
        .iter()
        .find(|h| h.function == api("tsv"))
        .unwrap();
    assert!(handler.is_routine);
    assert_eq!(handler.media_type, "text/tab-separated-values");
}

fn hints(catalog: &Catalog) {
    assert_eq!(catalog.table_hint("api", "projectx"), Some("projects"));
    assert_eq!(catalog.table_hint("api", "nothing_like_it"), None);
    assert_eq!(catalog.routine_hint("api", "add_then"), Some("add_them"));
    let params = catalog.routine_params_hint(&api("add_them"), &["b", "a"]);
    assert_eq!(params.as_deref(), Some("(a, b)"));
    let params = catalog.routine_params_hint(&api("add_them"), &["b", "a", "x"]);
    assert_eq!(params.as_deref(), Some("(a, b, c)"));
    let child = catalog
        .relationship_hint("projects", "client", "api")
        .unwrap();
    assert_eq!((&*child.meant, &*child.instead_of), ("clients", "client"));
    let parent = catalog
        .relationship_hint("peopl", "projects", "api")
        .unwrap();
    assert_eq!((&*parent.meant, &*parent.instead_of), ("people", "peopl"));
    assert_eq!(
        catalog.relationship_hint("projects", "clients", "api"),
        None
    );
}

async fn settings(session: &mut Session) {
    let setup = "
        CREATE ROLE visitor; CREATE ROLE gate NOINHERIT LOGIN; GRANT visitor TO gate;
        ALTER ROLE visitor SET statement_timeout = '3s';
        ALTER ROLE visitor SET log_statement = 'all';
        ALTER ROLE visitor SET default_transaction_isolation = 'serializable';
        ALTER ROLE gate SET pgrst.db_schemas = 'a=b, c';
        ALTER ROLE gate SET pgrst.jwt_aud = 'everywhere';
        ALTER ROLE gate IN DATABASE postgres SET pgrst.jwt_aud = 'here';
        CREATE FUNCTION api.\"select\"() RETURNS void LANGUAGE sql
          AS $$SELECT set_config('pgrst.db_max_rows', '500', false)$$;
        CREATE FUNCTION api.nothing() RETURNS void LANGUAGE sql AS '';
        CREATE FUNCTION api.writing() RETURNS void LANGUAGE sql AS 'CREATE TABLE api.t ()';
        GRANT USAGE ON SCHEMA api TO gate;
        CREATE FUNCTION api.teapot() RETURNS void LANGUAGE sql
          AS $$SELECT set_config('response.status', '418', true)$$;
        SET SESSION AUTHORIZATION gate";
    session.script(setup).await.unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let config = role_config(session).await.unwrap();
    assert_eq!(
        config,
        [pair("db_schemas", "a=b, c"), pair("jwt_aud", "here")]
    );
    let names = ["db_max_rows", "db_tx_end"].map(str::to_owned);
    let function = QualifiedName::new("api", "select");
    let none = pre_config(session, &api("nothing"), &names).await.unwrap();
    assert_eq!(none, []);
    let set = pre_config(session, &function, &names).await.unwrap();
    assert_eq!(set, [pair("db_max_rows", "500")]);
    for (name, state) in [("missing", "42883"), ("writing", "25006")] {
        let error = pre_config(session, &api(name), &names).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some(state));
    }
    let catalog = load(session, &options()).await.unwrap();
    assert_eq!(
        catalog.role_settings["visitor"],
        [pair("statement_timeout", "3s")]
    );
    assert_eq!(catalog.role_isolation["visitor"], "serializable");
    assert!(
        load_timezones(session)
            .await
            .unwrap()
            .contains("Europe/Berlin")
    );
}

#[tokio::test]
async fn notifications_replace_the_catalog_and_survive_a_lost_connection() {
    let database = database().await;
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
    let options = Arc::new(ArcSwap::from_pointee(options()));
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let keeper = keep_fresh(
        database.target.clone(),
        "Our \"own\"".to_owned(),
        options,
        catalog.clone(),
        move |event| {
            let _ = events.send(event);
        },
    );
    let stopping = database.tasks.clone();
    database.tasks.spawn("catalog", async move {
        tokio::select! { () = keeper => (), () = stopping.stopping() => () }
    });
    let limit = Duration::from_secs(20);
    let mut next = async || {
        tokio::time::timeout(limit, seen.recv())
            .await
            .unwrap()
            .unwrap()
    };
    assert!(matches!(next().await, Event::Loaded { .. }));

    let mut session = Session::connect(&database.target).await.unwrap();
    let change =
        "CREATE TABLE api.fresh (); NOTIFY pgrst, 'reload schema'; NOTIFY pgrst, 'reload config'";
    session.script(change).await.unwrap();
    // Settings are asked for on the operator's channel alone.
    assert!(matches!(next().await, Event::Loaded { .. }));
    assert!(catalog.load().table(&api("fresh")).is_some());
    let own = r#"NOTIFY "Our ""own""", 'reload config'; NOTIFY "Our ""own""", 'reload schema'"#;
    session.script(own).await.unwrap();
    assert!(matches!(next().await, Event::ConfigReloadRequested));
    assert!(matches!(next().await, Event::Loaded { .. }));

    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid();
        DROP TABLE api.fresh";
    session.script(cut).await.unwrap();
    assert!(matches!(next().await, Event::Failed { .. }));
    assert!(matches!(next().await, Event::Loaded { .. }));
    assert!(catalog.load().table(&api("fresh")).is_none());
    session.close().await;
    database.tasks.stop().await;
}

/// Else every request of every project would pay for settings that nobody
/// reads.
#[tokio::test]
async fn our_own_schema_reads_and_changes_no_settings() {
    let db = pg::testing::TestDb::new().await;
    let mut session = db.session().await;
    let options = pg::catalog::LoadOptions::for_schemas(vec!["public".to_owned()]);
    let catalog = load(&mut session, &options).await.unwrap();
    assert!(!catalog.request_settings_used);
    assert!(!catalog.response_settings_used);
    assert!(!catalog.session_settings_used);
    session.close().await;
}
