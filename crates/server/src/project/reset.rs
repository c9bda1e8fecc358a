//! `db reset`: the database is dropped and made again; migrating and seeding
//! it is what every start does anyway.

use pg::{Session, SqlBuf};

use super::error::ProjectError;

/// Drops and makes `database` again. `admin` is connected to another database
/// of the same server (`template1`), as a superuser or as the database's owner.
/// Everybody else is disconnected. On our own cluster the roles that the
/// project made go too, because its migrations will make them again.
pub async fn recreate_database(admin: &mut Session, database: &str) -> Result<(), ProjectError> {
    let mut drop = SqlBuf::new();
    drop.lit("DROP DATABASE IF EXISTS ")
        .ident(database)
        .lit(" WITH (FORCE)");
    admin
        .query_buf(&drop)
        .await
        .map_err(ProjectError::database("could not drop the database"))?;
    drop_project_roles(admin)
        .await
        .map_err(ProjectError::database("could not drop the project's roles"))?;
    // template0 carries nothing that an earlier reset could have left behind.
    let mut create = SqlBuf::new();
    create
        .lit("CREATE DATABASE ")
        .ident(database)
        .lit(" TEMPLATE template0");
    admin
        .query_buf(&create)
        .await
        .map_err(ProjectError::database("could not create the database"))?;
    Ok(())
}

async fn drop_project_roles(admin: &mut Session) -> Result<(), pg::Error> {
    let roles = admin
        .query(include_str!("sql/list_project_roles.sql"), &[])
        .await?;
    for role in roles.iter().filter_map(|row| row.get(0)) {
        let mut drop = SqlBuf::new();
        drop.lit("DROP ROLE ").ident(role);
        match admin.query_buf(&drop).await {
            Ok(_) => {}
            // It owns something in another database and stays.
            Err(error) if error.sqlstate() == Some("2BP01") => {
                tracing::warn!(role, "Role {role} is used elsewhere and was kept");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
