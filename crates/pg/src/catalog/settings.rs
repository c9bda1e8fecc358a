//! The in-database configuration: what is stored with the role that we connect
//! as, and what a function of the operator's sets. Names come without `pgrst.`.

use super::{QualifiedName, text_array};
use crate::{Error, Rows, Session, SqlBuf};

/// `ALTER ROLE … SET pgrst.…` of the current user; settings for this database
/// win.
pub async fn role_config(session: &mut Session) -> Result<Vec<(String, String)>, Error> {
    let rows = session
        .query(include_str!("sql/role_config.sql"), &[])
        .await?;
    Ok(pairs(&rows))
}

/// What `function` sets by `set_config('pgrst.…', …)`, of these names. It may
/// read but not write, and no value of its stays. The session should be a new
/// one: PostgreSQL remembers a name that was set once, as empty.
pub async fn pre_config(
    session: &mut Session,
    function: &QualifiedName,
    names: &[String],
) -> Result<Vec<(String, String)>, Error> {
    session.script("BEGIN READ ONLY").await?;
    let settings = called(session, function, names).await;
    let ended = session.script("ROLLBACK").await;
    // The first error is the one that matters.
    let settings = settings?;
    ended?;
    Ok(settings)
}

async fn called(
    session: &mut Session,
    function: &QualifiedName,
    names: &[String],
) -> Result<Vec<(String, String)>, Error> {
    let mut call = SqlBuf::new();
    call.lit("SELECT ")
        .qualified(&function.schema, &function.name)
        .lit("()");
    session.query_buf(&call).await?;
    let names = text_array(names);
    let rows = session
        .query(include_str!("sql/pre_config.sql"), &[Some(&names)])
        .await?;
    Ok(pairs(&rows))
}

fn pairs(rows: &Rows) -> Vec<(String, String)> {
    rows.iter()
        .filter_map(|row| Some((row.get(0)?.to_owned(), row.get(1)?.to_owned())))
        .collect()
}
