//! Clients of the OAuth server, what they asked for and what was granted.

use std::time::Duration;

use jiff::Timestamp;
use pg::SqlBuf;
use uuid::Uuid;

use super::{Store, Tx, number, parsed};
use crate::error::{AuthError, Result};
use crate::model::{Authorization, Client, Grant};
use crate::routes::pages::Page;

/// So long is a used code remembered, since it betrays a theft when it comes
/// again: as long as the longest access token.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A client to be.
#[derive(Debug)]
pub(crate) struct NewClient {
    /// The hash of its secret; none for a public client.
    pub(crate) secret_hash: Option<String>,
    /// `manual` or `dynamic`.
    pub(crate) registration: &'static str,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<String>,
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) logo: String,
    pub(crate) client_type: &'static str,
    pub(crate) auth_method: &'static str,
}

/// What is to change of a client; empty texts clear.
#[derive(Debug, Default)]
pub(crate) struct ClientChange {
    pub(crate) secret_hash: Option<String>,
    pub(crate) redirect_uris: Option<Vec<String>>,
    pub(crate) grant_types: Option<Vec<String>>,
    pub(crate) name: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) logo: Option<String>,
    pub(crate) auth_method: Option<String>,
}

/// A request for consent.
#[derive(Debug)]
pub(crate) struct NewAuthorization<'a> {
    pub(crate) public_id: String,
    pub(crate) client: Uuid,
    pub(crate) redirect_uri: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) state: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) challenge: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) lifetime: Duration,
}

fn client_by_id(id: Uuid) -> SqlBuf {
    SqlBuf::fixed(
        "SELECT to_jsonb(c) FROM auth.oauth_clients AS c WHERE c.id = $1::uuid AND c.deleted_at IS NULL",
    )
    .bind(id.to_string())
}

impl Store {
    pub(crate) async fn oauth_client(&self, id: Uuid) -> Result<Option<Client>> {
        self.read_document(client_by_id(id)).await
    }

    /// A page of clients, newest first, and how many there are in all.
    pub(crate) async fn oauth_clients(&self, page: &Page) -> Result<(Vec<Client>, u64)> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(c) FROM auth.oauth_clients AS c WHERE c.deleted_at IS NULL \
             ORDER BY c.created_at DESC, c.id LIMIT $1::bigint OFFSET $2::bigint",
        );
        let sql = sql
            .bind(page.limit().to_string())
            .bind(page.offset().to_string());
        let rows = self.read(sql).await?;
        let count = "SELECT count(*) FROM auth.oauth_clients WHERE deleted_at IS NULL";
        let count = self.read(SqlBuf::fixed(count)).await?;
        let clients = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        Ok((clients.collect::<Result<_>>()?, number(&count)))
    }

    pub(crate) async fn oauth_grants(&self, user: Uuid) -> Result<Vec<Grant>> {
        let sql = SqlBuf::fixed(include_str!("../../sql/oauth_grants.sql")).bind(user.to_string());
        let rows = self.read(sql).await?;
        let grants = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        grants.collect()
    }

    /// What was asked for, to be shown; nothing is decided by it.
    pub(crate) async fn oauth_authorization(&self, id: &str) -> Result<Option<Authorization>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(a) FROM auth.oauth_authorizations AS a WHERE a.authorization_id = $1",
        );
        self.read_document(sql.bind(id.to_owned())).await
    }
}

impl Tx {
    pub(crate) async fn oauth_client(&self, id: Uuid) -> Result<Option<Client>> {
        self.document(client_by_id(id)).await
    }

    pub(crate) async fn insert_oauth_client(&self, new: &NewClient) -> Result<Client> {
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_oauth_client.sql"))
            .bind(self.uuid().to_string())
            .bind(new.secret_hash.clone())
            .bind(new.registration.to_owned())
            .bind(new.redirect_uris.join(","))
            .bind(new.grant_types.join(","))
            .bind(new.name.clone())
            .bind(new.uri.clone())
            .bind(new.logo.clone())
            .bind(self.now.to_string())
            .bind(new.client_type.to_owned())
            .bind(new.auth_method.to_owned());
        self.document(sql)
            .await?
            .ok_or(AuthError::Internal("Error creating OAuth client"))
    }

    /// Changes a client; none when it is gone.
    pub(crate) async fn change_oauth_client(
        &self,
        id: Uuid,
        change: ClientChange,
    ) -> Result<Option<Client>> {
        let mut sql = SqlBuf::new();
        sql.lit("UPDATE auth.oauth_clients AS c SET updated_at = ")
            .param(self.now.to_string())
            .lit("::timestamptz");
        let joined = |list: Option<Vec<String>>| list.map(|list| list.join(","));
        let texts: [(&'static str, Option<String>); 7] = [
            (", client_secret_hash = ", change.secret_hash),
            (", redirect_uris = ", joined(change.redirect_uris)),
            (", grant_types = ", joined(change.grant_types)),
            (", token_endpoint_auth_method = ", change.auth_method),
            (", client_name = ", change.name),
            (", client_uri = ", change.uri),
            (", logo_uri = ", change.logo),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                let text = Some(text).filter(|text| !text.is_empty());
                sql.lit(column).param(text);
            }
        }
        sql.lit(" WHERE c.deleted_at IS NULL AND c.id = ")
            .param(id.to_string())
            .lit("::uuid RETURNING to_jsonb(c)");
        self.document(sql).await
    }

    /// Takes a client away with everything that it holds. Its row stays, so
    /// that what refers to it can be read.
    pub(crate) async fn delete_oauth_client(&self, id: Uuid) -> Result<()> {
        let client = SqlBuf::fixed(
            "UPDATE auth.oauth_clients SET deleted_at = $2::timestamptz, updated_at = $2::timestamptz \
             WHERE id = $1::uuid",
        );
        let consents = SqlBuf::fixed(
            "UPDATE auth.oauth_consents SET revoked_at = greatest(granted_at, $2::timestamptz) \
             WHERE client_id = $1::uuid AND revoked_at IS NULL",
        );
        let (id, now) = (id.to_string(), self.now.to_string());
        let sessions = "DELETE FROM auth.sessions WHERE oauth_client_id = $1::uuid";
        let asked = "DELETE FROM auth.oauth_authorizations WHERE client_id = $1::uuid";
        self.run_all(vec![
            client.bind(id.clone()).bind(now.clone()),
            consents.bind(id.clone()).bind(now),
            SqlBuf::fixed(sessions).bind(id.clone()),
            SqlBuf::fixed(asked).bind(id),
        ])
        .await?;
        Ok(())
    }

    pub(crate) async fn insert_authorization(&self, new: &NewAuthorization<'_>) -> Result<()> {
        let end = later(self.now, new.lifetime);
        let old = self.now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_oauth_authorization.sql"))
            .bind(self.uuid().to_string())
            .bind(new.public_id.clone())
            .bind(new.client.to_string())
            .bind(new.redirect_uri.to_owned())
            .bind(new.scope.to_owned())
            .bind(new.state.to_owned())
            .bind(new.resource.to_owned())
            .bind(new.challenge.to_owned())
            .bind("s256".to_owned())
            .bind(new.nonce.to_owned())
            .bind(self.now.to_string())
            .bind(end.to_string())
            .bind(old.to_string());
        self.run(sql).await?;
        Ok(())
    }

    /// What was asked for, locked: it is decided once.
    pub(crate) async fn authorization_for_update(&self, id: &str) -> Result<Option<Authorization>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(a) FROM auth.oauth_authorizations AS a WHERE a.authorization_id = $1 FOR UPDATE",
        );
        self.document(sql.bind(id.to_owned())).await
    }

    /// The same by a code's hash: a code is exchanged once.
    pub(crate) async fn authorization_by_code(&self, hash: &str) -> Result<Option<Authorization>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(a) FROM auth.oauth_authorizations AS a WHERE a.authorization_code = $1 FOR UPDATE",
        );
        self.document(sql.bind(hash.to_owned())).await
    }

    pub(crate) async fn set_authorization_user(&self, id: Uuid, user: Uuid) -> Result<()> {
        let sql = "UPDATE auth.oauth_authorizations SET user_id = $2::uuid WHERE id = $1::uuid";
        let sql = SqlBuf::fixed(sql).bind(id.to_string());
        self.run(sql.bind(user.to_string())).await?;
        Ok(())
    }

    /// Allowed: the code counts from now, for its own time.
    pub(crate) async fn approve_authorization(
        &self,
        id: Uuid,
        hash: &str,
        lifetime: Duration,
    ) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.oauth_authorizations SET status = 'approved', approved_at = $3::timestamptz, \
               authorization_code = $2, expires_at = $4::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(hash.to_owned());
        let sql = sql.bind(self.now.to_string());
        self.run(sql.bind(later(self.now, lifetime).to_string()))
            .await?;
        Ok(())
    }

    /// `denied`, or `expired` when it was not answered or its code is used.
    pub(crate) async fn close_authorization(&self, id: Uuid, status: &'static str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.oauth_authorizations SET status = $2::auth.oauth_authorization_status WHERE id = $1::uuid",
        );
        self.run(sql.bind(id.to_string()).bind(status.to_owned()))
            .await?;
        Ok(())
    }

    /// The scopes that a user has granted to a client.
    pub(crate) async fn consented(&self, user: Uuid, client: Uuid) -> Result<Option<String>> {
        let sql = SqlBuf::fixed(
            "SELECT scopes FROM auth.oauth_consents \
             WHERE user_id = $1::uuid AND client_id = $2::uuid AND revoked_at IS NULL",
        );
        let rows = self.run(sql.bind(user.to_string()).bind(client.to_string()));
        Ok(rows.await?.scalar().map(str::to_owned))
    }

    pub(crate) async fn consent(&self, user: Uuid, client: Uuid, scopes: &str) -> Result<()> {
        let sql = SqlBuf::fixed(include_str!("../../sql/upsert_oauth_consent.sql"))
            .bind(self.uuid().to_string())
            .bind(user.to_string())
            .bind(client.to_string())
            .bind(scopes.to_owned());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// Takes a grant back, with its sessions and its codes. False when there
    /// was none.
    pub(crate) async fn revoke_grant(&self, user: Uuid, client: Uuid) -> Result<bool> {
        let (user, client) = (user.to_string(), client.to_string());
        let consent = SqlBuf::fixed(
            "UPDATE auth.oauth_consents SET revoked_at = greatest(granted_at, $3::timestamptz) \
             WHERE user_id = $1::uuid AND client_id = $2::uuid AND revoked_at IS NULL RETURNING id",
        );
        let consent = consent.bind(user.clone()).bind(client.clone());
        let rows = self.run(consent.bind(self.now.to_string())).await?;
        if rows.scalar().is_none() {
            return Ok(false);
        }
        let sessions = SqlBuf::fixed(
            "DELETE FROM auth.sessions WHERE user_id = $1::uuid AND oauth_client_id = $2::uuid",
        );
        let asked = SqlBuf::fixed(
            "DELETE FROM auth.oauth_authorizations WHERE user_id = $1::uuid AND client_id = $2::uuid",
        );
        self.run_all(vec![
            sessions.bind(user.clone()).bind(client.clone()),
            asked.bind(user).bind(client),
        ])
        .await?;
        Ok(true)
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
