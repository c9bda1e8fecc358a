//! What a backup holds beside rows and files: keys, settings and roles.
//!
//! Roles live in the cluster, not in a database, so no archive has them. They
//! are read in the backup's snapshot, with their hashed passwords where we may,
//! and made again from here: [`apply`].

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use pg::{Session, SqlBuf};
use serde::{Deserialize, Serialize};

use super::{BackupError, disk};
use crate::config::{Loaded, Origin, Value};

/// Settings and keys are a few kilobytes; anything much larger is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Where the project's keys are, in a backup.
const KEYS: &str = ".ferrobase/keys.json";
const PROJECT: &str = "supabase/config.toml";

/// Everything in `secrets.json`. It prints nothing by accident.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secrets {
    /// Files, by their place in the project's folder.
    pub(super) files: Vec<KeptFile>,
    /// Every setting that somebody made, from wherever it came.
    pub(super) settings: Vec<Said>,
    pub(super) roles: Roles,
}

/// A small text file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptFile {
    /// Below the project's folder.
    pub(super) path: String,
    pub(super) text: String,
}

/// A setting.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) path: String,
    pub(super) value: String,
    pub(super) origin: String,
    /// Whether it is in one of the files as well.
    pub(super) in_file: bool,
}

/// The roles of a cluster, and what is set for them and for the database.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roles {
    each: Vec<Role>,
    members: Vec<Member>,
    settings: Vec<RoleSetting>,
    rights: Vec<Right>,
}

#[expect(clippy::struct_excessive_bools, reason = "PostgreSQL has them so")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    superuser: bool,
    inherit: bool,
    makes_roles: bool,
    makes_databases: bool,
    login: bool,
    replication: bool,
    bypass_rls: bool,
    connections: i64,
    valid_until: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    role: String,
    who: String,
    admin: bool,
    /// From version 16 on.
    inherit: Option<bool>,
    set: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RoleSetting {
    /// None is for all roles.
    role: Option<String>,
    of_database: bool,
    name: String,
    value: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Right {
    /// None is everybody.
    role: Option<String>,
    word: String,
    grantable: bool,
}

/// Reads keys and settings.
pub(super) fn read(root: &Path, data_dir: &Path, loaded: &Loaded) -> Result<Secrets, BackupError> {
    let mut files = Vec::new();
    let mut places = vec![
        (data_dir.join("keys.json"), KEYS.to_owned()),
        (root.join("ferrobase.toml"), "ferrobase.toml".to_owned()),
        (root.join(PROJECT), PROJECT.to_owned()),
    ];
    places.extend(signing_keys(root).map(|path| (root.join(&path), path)));
    for (from, path) in places {
        if let Some(text) = read_small(&from)? {
            files.push(KeptFile { path, text });
        }
    }
    let settings = loaded.settings.iter();
    let said = settings.filter(|(_, setting)| setting.origin != Origin::Default);
    let said = said.map(|(path, setting)| Said {
        path: (*path).to_owned(),
        value: match &setting.value {
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(","),
        },
        origin: setting.origin.to_string(),
        in_file: matches!(setting.origin, Origin::File(_) | Origin::Database),
    });
    Ok(Secrets {
        files,
        settings: said.collect(),
        roles: Roles::default(),
    })
}

/// The operator's own keys, where the project's file says they are, if that is
/// inside the project.
fn signing_keys(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(PROJECT)).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let path = table.get("auth")?.get("signing_keys_path")?.as_str()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    Some(format!("supabase/{path}")).filter(|path| is_inside(path))
}

/// Whether a path leads to a file below the folder that it starts from.
fn is_inside(path: &str) -> bool {
    let parts = Path::new(path).components();
    parts.clone().count() > 0
        && parts
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_)))
}

fn read_small(path: &Path) -> Result<Option<String>, BackupError> {
    let failed = || BackupError::file("read", path);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
        Ok(meta) if meta.len() > FILE_BYTES_MAX => {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it is too large");
            return Err(failed()(error));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed())
}

/// Reads the roles in the session's snapshot.
pub(super) async fn read_roles(
    session: &mut Session,
    with_passwords: bool,
) -> Result<Roles, BackupError> {
    let failed = || BackupError::database("read the roles");
    let text = session.query(include_str!("roles.sql"), &[]).await;
    let text = text.map_err(failed())?;
    let text = text.scalar().unwrap_or_default();
    let mut roles: Roles = serde_json::from_str(text).map_err(|error| BackupError::File {
        what: "understand",
        path: PathBuf::from("the roles of the database"),
        source: error.into(),
    })?;
    if with_passwords {
        let sql =
            "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL";
        let known = session.query(sql, &[]).await.map_err(failed())?;
        for row in known.iter() {
            let role = roles
                .each
                .iter_mut()
                .find(|role| Some(role.name.as_str()) == row.get(0));
            if let Some(role) = role {
                role.password = row.get(1).map(str::to_owned);
            }
        }
    }
    Ok(roles)
}

/// Writes the files below an empty project's folder; what belongs into
/// `.ferrobase` goes into `data_dir`, which gets that name later.
pub(super) fn write(secrets: &Secrets, root: &Path, data_dir: &Path) -> Result<(), BackupError> {
    for file in &secrets.files {
        // Nothing in a backup says where outside of the folder to write.
        let path = match file.path.as_str() {
            KEYS => data_dir.join("keys.json"),
            "ferrobase.toml" => root.join("ferrobase.toml"),
            path if path.starts_with("supabase/") && is_inside(path) => root.join(path),
            _ => continue,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(BackupError::file("make", folder))?;
        }
        disk::replace(&path, file.text.as_bytes())?;
    }
    Ok(())
}

/// Whose roles are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A cluster of our own: all become as they were.
    OwnCluster,
    /// Somebody's server: what is there already stays as it is, and what this
    /// login may not do is told.
    Foreign,
}

/// Makes the roles; the database's own settings and rights come with
/// [`apply_to_database`]. Returns what was left out, one sentence each.
pub(super) async fn apply(
    session: &mut Session,
    roles: &Roles,
    scope: Scope,
) -> Result<Vec<String>, BackupError> {
    let failed = || BackupError::database("make the roles");
    let known = session
        .query("SELECT rolname FROM pg_catalog.pg_roles", &[])
        .await
        .map_err(failed())?;
    let is_known = |name: &str| known.iter().any(|row| row.get(0) == Some(name));
    let mut notes = Vec::new();
    for role in &roles.each {
        let there = is_known(&role.name);
        if there && scope == Scope::Foreign {
            notes.push(format!("role {} was there and stays as it is", role.name));
            continue;
        }
        let done = session.query_buf(&role_sql(role, there)).await;
        settle(
            done.map(drop),
            scope,
            || format!("role {}", role.name),
            &mut notes,
        )?;
    }
    let flags = session.server_version() >= 160_000;
    for member in &roles.members {
        let done = session.query_buf(&member_sql(member, flags)).await;
        let what = || format!("{} as a member of {}", member.who, member.role);
        settle(done.map(drop), scope, what, &mut notes)?;
    }
    for setting in roles.settings.iter().filter(|one| !one.of_database) {
        let skip = scope == Scope::Foreign && setting.role.as_deref().is_none_or(is_known);
        if !skip {
            let done = apply_setting(session, setting).await;
            let what = || format!("setting {} of a role", setting.name);
            settle(done, scope, what, &mut notes)?;
        }
    }
    Ok(notes)
}

/// What is set and granted for the database itself, where the archive was not
/// asked to make it.
pub(super) async fn apply_to_database(
    session: &mut Session,
    roles: &Roles,
) -> Result<Vec<String>, BackupError> {
    let mut notes = Vec::new();
    for setting in roles.settings.iter().filter(|one| one.of_database) {
        let done = apply_setting(session, setting).await;
        let what = || format!("setting {} of the database", setting.name);
        settle(done, Scope::Foreign, what, &mut notes)?;
    }
    for right in &roles.rights {
        let Some(sql) = right_sql(right, session).await? else {
            continue;
        };
        let done = session.query_buf(&sql).await;
        let what = || format!("right {} on the database", right.word);
        settle(done.map(drop), Scope::Foreign, what, &mut notes)?;
    }
    Ok(notes)
}

/// In our own cluster every refusal is a failure.
fn settle(
    done: Result<(), pg::Error>,
    scope: Scope,
    what: impl FnOnce() -> String,
    notes: &mut Vec<String>,
) -> Result<(), BackupError> {
    match (done, scope) {
        (Ok(()), _) => Ok(()),
        (Err(error), Scope::Foreign) if error.db().is_some() => {
            notes.push(format!("{} was left out: {error}", what()));
            Ok(())
        }
        (Err(error), _) => Err(BackupError::database("make the roles as they were")(error)),
    }
}

/// Only what differs from a new role's defaults: to name a right, even to deny
/// it, asks for more rights than most logins have.
fn role_sql(role: &Role, there: bool) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(if there { "ALTER ROLE " } else { "CREATE ROLE " })
        .ident(&role.name)
        .lit(" WITH");
    let attributes = [
        (role.superuser, " SUPERUSER"),
        (!role.inherit, " NOINHERIT"),
        (role.makes_roles, " CREATEROLE"),
        (role.makes_databases, " CREATEDB"),
        (role.login, " LOGIN"),
        (role.replication, " REPLICATION"),
        (role.bypass_rls, " BYPASSRLS"),
    ];
    for (_, word) in attributes.into_iter().filter(|(wanted, _)| *wanted) {
        sql.lit(word);
    }
    sql.lit(" CONNECTION LIMIT ").number(role.connections);
    if let Some(password) = &role.password {
        sql.lit(" PASSWORD ").text_literal(password);
    }
    if let Some(until) = &role.valid_until {
        sql.lit(" VALID UNTIL ").text_literal(until);
    }
    sql
}

fn member_sql(member: &Member, flags: bool) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("GRANT ")
        .ident(&member.role)
        .lit(" TO ")
        .ident(&member.who);
    let word = |wanted| if wanted { "TRUE" } else { "FALSE" };
    match (flags, member.inherit, member.set) {
        (true, Some(inherit), Some(set)) => {
            sql.lit(" WITH ADMIN ").lit(word(member.admin));
            sql.lit(", INHERIT ").lit(word(inherit));
            sql.lit(", SET ").lit(word(set));
        }
        _ if member.admin => {
            sql.lit(" WITH ADMIN OPTION");
        }
        _ => {}
    }
    sql
}

/// A value as PostgreSQL wrote it may be a list of quoted names, and only
/// PostgreSQL knows which settings are lists: so it sets the value here and
/// copies it, which asks for no quoting.
async fn apply_setting(session: &mut Session, setting: &RoleSetting) -> Result<(), pg::Error> {
    session.script("BEGIN").await?;
    let copied = copy_setting(session, setting).await;
    let end = if copied.is_ok() { "COMMIT" } else { "ROLLBACK" };
    session.script(end).await?;
    if copied.is_ok() {
        return Ok(());
    }
    // Some can be set for a session's start only.
    let mut sql = alter(session, setting).await?;
    sql.lit(" TO ").text_literal(&setting.value);
    session.query_buf(&sql).await.map(drop)
}

async fn copy_setting(session: &mut Session, setting: &RoleSetting) -> Result<(), pg::Error> {
    let value = [Some(setting.name.as_str()), Some(setting.value.as_str())];
    let set = "SELECT pg_catalog.set_config($1, $2, true)";
    session.query(set, &value).await?;
    let mut sql = alter(session, setting).await?;
    sql.lit(" FROM CURRENT");
    session.query_buf(&sql).await.map(drop)
}

async fn alter(session: &mut Session, setting: &RoleSetting) -> Result<SqlBuf, pg::Error> {
    let database = database(session).await?;
    let mut sql = SqlBuf::new();
    match (&setting.role, setting.of_database) {
        (Some(role), false) => {
            sql.lit("ALTER ROLE ").ident(role);
        }
        (None, false) => {
            sql.lit("ALTER ROLE ALL");
        }
        (Some(role), true) => {
            sql.lit("ALTER ROLE ").ident(role);
            sql.lit(" IN DATABASE ").ident(&database);
        }
        (None, true) => {
            sql.lit("ALTER DATABASE ").ident(&database);
        }
    }
    sql.lit(" SET ");
    // Names of a setting's own family have a dot that is no part of a name.
    for (place, part) in setting.name.split('.').enumerate() {
        if place > 0 {
            sql.lit(".");
        }
        sql.ident(part);
    }
    Ok(sql)
}

async fn right_sql(right: &Right, session: &mut Session) -> Result<Option<SqlBuf>, BackupError> {
    let word = match right.word.as_str() {
        "CREATE" => "CREATE",
        "CONNECT" => "CONNECT",
        "TEMPORARY" => "TEMPORARY",
        _ => return Ok(None),
    };
    let database = database(session).await;
    let database = database.map_err(BackupError::database("ask for the database's name"))?;
    let mut sql = SqlBuf::new();
    sql.lit("GRANT ")
        .lit(word)
        .lit(" ON DATABASE ")
        .ident(&database)
        .lit(" TO ");
    match &right.role {
        Some(role) => sql.ident(role),
        None => sql.lit("PUBLIC"),
    };
    if right.grantable {
        sql.lit(" WITH GRANT OPTION");
    }
    Ok(Some(sql))
}

async fn database(session: &mut Session) -> Result<String, pg::Error> {
    let name = session
        .query("SELECT pg_catalog.current_database()", &[])
        .await?;
    Ok(name.scalar().unwrap_or_default().to_owned())
}
