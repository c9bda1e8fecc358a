//! The only part of the room that meets Postgres. Statements run as
//! `supabase_auth_admin`, never as the service role.
//!
//! Reads outside a transaction are methods of [`Store`]; everything that
//! writes happens in a [`Tx`]: `store.begin()`, any number of its methods,
//! `commit()`. Dropping it undoes all. What a table needs is in the file of
//! its name: [`users`], [`sessions`], [`tokens`], [`factors`], [`passkeys`],
//! [`audit`].

mod audit;
mod factors;
mod flows;
mod oauth;
mod passkeys;
mod patch;
mod sessions;
mod tokens;
mod users;

use std::sync::Arc;

use jiff::Timestamp;
use kernel::{Clock, Rng};
use pg::{OpenTx, Pool, RequestTx, Rows, SqlBuf};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{AuthError, Result};
use crate::model::{Session, User};
use crate::routes::pages::Page;

pub(crate) use audit::Actor;
pub(crate) use factors::{Challenge, NewFactor};
pub(crate) use flows::{NewOAuthFlow, OAuthFlow};
pub(crate) use oauth::{ClientChange, NewAuthorization, NewClient};
pub(crate) use passkeys::{Passkey, PasskeyChallenge};
pub(crate) use patch::UserPatch;
pub(crate) use sessions::NewSession;
pub(crate) use tokens::OneTime;
pub(crate) use users::{NewUser, merge};

/// Reads and transactions.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: Pool,
    role: Arc<str>,
    settings: Arc<[(String, String)]>,
    clock: Clock,
    rng: Rng,
}

/// A transaction with its own idea of now.
#[derive(Debug)]
pub(crate) struct Tx {
    open: OpenTx,
    /// When it began.
    pub(crate) now: Timestamp,
    rng: Rng,
}

const DATABASE: &str = "Database error";

impl Store {
    pub(crate) fn new(pool: Pool, role: &str, clock: Clock, rng: Rng) -> Self {
        // As GoTrue's login has it: functions behind triggers count on it.
        let settings = [("search_path".to_owned(), "auth".to_owned())];
        Self {
            pool,
            role: role.into(),
            settings: settings.into(),
            clock,
            rng,
        }
    }

    fn request(&self) -> RequestTx {
        RequestTx::new(&self.role, "{}", &self.settings)
    }

    /// One statement that changes nothing.
    pub(crate) async fn read(&self, statement: SqlBuf) -> Result<Rows> {
        let mut request = self.request();
        request.read_only().keeps_settings().push(statement);
        let mut rows = request
            .run(&self.pool)
            .await
            .map_err(AuthError::database(DATABASE))?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// The first value of a statement that changes nothing, as a document.
    pub(crate) async fn read_document<T: DeserializeOwned>(
        &self,
        statement: SqlBuf,
    ) -> Result<Option<T>> {
        document(&self.read(statement).await?)
    }

    /// A transaction.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let (open, _) = self
            .request()
            .open(&self.pool)
            .await
            .map_err(AuthError::database(DATABASE))?;
        Ok(Tx {
            open,
            now: self.clock.now(),
            rng: self.rng.clone(),
        })
    }

    pub(crate) async fn user_by_id(&self, id: Uuid) -> Result<Option<User>> {
        self.read_document(users::by_id(id)).await
    }

    pub(crate) async fn user_by_email(&self, email: &str, audience: &str) -> Result<Option<User>> {
        self.read_document(users::by_email(email, audience)).await
    }

    pub(crate) async fn user_by_phone(&self, phone: &str, audience: &str) -> Result<Option<User>> {
        self.read_document(users::by_phone(phone, audience)).await
    }

    /// Somebody else who already has this address.
    pub(crate) async fn duplicate_email(
        &self,
        email: &str,
        audience: &str,
        except: Option<Uuid>,
    ) -> Result<Option<User>> {
        self.read_document(users::duplicate(email, audience, except))
            .await
    }

    /// A page of users, and how many there are in all.
    pub(crate) async fn users(
        &self,
        audience: &str,
        filter: Option<&str>,
        ascending: bool,
        page: &Page,
    ) -> Result<(Vec<User>, u64)> {
        let rows = self
            .read(users::page(audience, filter, ascending, page))
            .await?;
        let count = self.read(users::count(audience, filter)).await?;
        let users = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        Ok((users.collect::<Result<_>>()?, number(&count)))
    }

    /// A page of what happened, and how much there is in all.
    pub(crate) async fn audit_entries(
        &self,
        columns: &[&str],
        wanted: &str,
        page: &Page,
    ) -> Result<(Vec<Value>, u64)> {
        let rows = self.read(audit::page(columns, wanted, page)).await?;
        let count = self.read(audit::count(columns, wanted)).await?;
        let entries = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        Ok((entries.collect::<Result<_>>()?, number(&count)))
    }

    pub(crate) async fn session(&self, id: Uuid) -> Result<Option<Session>> {
        self.read_document(sessions::by_id(id)).await
    }
}

impl Tx {
    /// One statement.
    pub(crate) async fn run(&self, statement: SqlBuf) -> Result<Rows> {
        self.run_for(DATABASE, statement).await
    }

    /// One statement, with a sentence for the client should it fail.
    pub(crate) async fn run_for(&self, context: &'static str, statement: SqlBuf) -> Result<Rows> {
        let rows = self.open.query(&statement).await;
        rows.map_err(AuthError::database(context))
    }

    /// Several statements in one round trip.
    pub(crate) async fn run_all(&self, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        let rows = self.open.query_all(&statements).await;
        rows.map_err(AuthError::database(DATABASE))
    }

    /// The first value of a statement, as a document.
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        statement: SqlBuf,
    ) -> Result<Option<T>> {
        document(&self.run(statement).await?)
    }

    /// Makes it so.
    pub(crate) async fn commit(self) -> Result<()> {
        self.open
            .finish()
            .await
            .map_err(AuthError::database(DATABASE))
    }

    /// For a hook that is a function of the database: it sees what happens here.
    pub(crate) fn open(&self) -> &OpenTx {
        &self.open
    }

    /// A new id.
    pub(crate) fn uuid(&self) -> Uuid {
        self.rng.uuid()
    }
}

fn document<T: DeserializeOwned>(rows: &Rows) -> Result<Option<T>> {
    rows.scalar().map(parsed).transpose()
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    // A row that cannot be read was not written by us. The reason names a
    // column, never a value.
    serde_json::from_str(text).map_err(|error| {
        tracing::error!(%error, "A row of schema auth cannot be read");
        AuthError::Internal("Database error reading a row")
    })
}

fn number(rows: &Rows) -> u64 {
    rows.scalar()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
