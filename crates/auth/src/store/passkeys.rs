//! Passkeys, and the questions that their authenticators are asked.

use jiff::Timestamp;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Store, Tx, parsed};
use crate::error::Result;
use crate::request::nullable;
use crate::webauthn::{Authenticator, Blob, Credential, Flags, Seen};

/// A user's passkey.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Passkey {
    pub(crate) id: Uuid,
    pub(crate) credential_id: Blob,
    public_key: Blob,
    #[serde(default)]
    sign_count: u32,
    #[serde(default, deserialize_with = "nullable")]
    transports: Vec<String>,
    backup_eligible: bool,
    backed_up: bool,
    #[serde(default)]
    friendly_name: String,
    created_at: Timestamp,
    #[serde(default)]
    last_used_at: Option<Timestamp>,
}

impl Passkey {
    /// What it is checked against.
    pub(crate) fn credential(&self) -> Credential {
        Credential {
            id: self.credential_id.clone(),
            public_key: self.public_key.clone(),
            transport: self.transports.clone(),
            flags: Flags {
                backup_eligible: self.backup_eligible,
                backup_state: self.backed_up,
                ..Flags::default()
            },
            authenticator: Authenticator {
                sign_count: self.sign_count,
                ..Authenticator::default()
            },
            ..Credential::default()
        }
    }

    /// The passkey as clients see it.
    pub(crate) fn document(&self) -> Value {
        let mut body = json!({"id": self.id.to_string()});
        if let Some(body) = body.as_object_mut() {
            if !self.friendly_name.is_empty() {
                body.insert(
                    "friendly_name".to_owned(),
                    self.friendly_name.clone().into(),
                );
            }
            body.insert("created_at".to_owned(), self.created_at.to_string().into());
            if let Some(at) = self.last_used_at {
                body.insert("last_used_at".to_owned(), at.to_string().into());
            }
        }
        body
    }
}

/// A question that waits for its answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PasskeyChallenge {
    pub(crate) session_data: Value,
    pub(crate) expires_at: Timestamp,
}

const PASSKEY: &str = include_str!("../../sql/passkey.sql");

fn of_user(user: Uuid, condition: &'static str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(PASSKEY).lit(condition);
    sql.bind(user.to_string())
}

impl Store {
    /// A user's passkeys, the oldest first.
    pub(crate) async fn passkeys(&self, user: Uuid) -> Result<Vec<Passkey>> {
        let rows = self
            .read(of_user(user, " ORDER BY p.created_at, p.id"))
            .await?;
        let found = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        found.collect()
    }
}

impl Tx {
    /// A user's passkeys, the oldest first.
    pub(crate) async fn passkeys(&self, user: Uuid) -> Result<Vec<Passkey>> {
        let rows = self
            .run(of_user(user, " ORDER BY p.created_at, p.id"))
            .await?;
        let found = rows.iter().filter_map(|row| row.get(0)).map(parsed);
        found.collect()
    }

    /// The user's own passkey, locked. Somebody else's does not exist.
    pub(crate) async fn passkey_for_update(&self, user: Uuid, id: Uuid) -> Result<Option<Passkey>> {
        let sql = of_user(user, " AND p.id = $2::uuid FOR UPDATE");
        self.document(sql.bind(id.to_string())).await
    }

    /// The user's passkey of a credential, locked: its counter is read and
    /// written by one at a time.
    pub(crate) async fn passkey_by_credential(
        &self,
        user: Uuid,
        credential: Vec<u8>,
    ) -> Result<Option<Passkey>> {
        let sql = of_user(
            user,
            " AND p.credential_id = decode($2, 'base64') FOR UPDATE",
        );
        self.document(sql.bind(base64(&Blob(credential)))).await
    }

    /// Keeps a passkey; none when the credential is somebody's already.
    pub(crate) async fn insert_passkey(
        &self,
        user: Uuid,
        credential: &Credential,
        name: &str,
    ) -> Result<Option<Passkey>> {
        let id = self.uuid();
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_passkey.sql"))
            .bind(id.to_string())
            .bind(user.to_string())
            .bind(base64(&credential.id))
            .bind(base64(&credential.public_key))
            .bind(credential.attestation_type.clone())
            .bind(credential.aaguid().map(|id| id.to_string()))
            .bind(credential.authenticator.sign_count.to_string())
            .bind(json!(credential.transport).to_string())
            .bind(credential.flags.backup_eligible.to_string())
            .bind(credential.flags.backup_state.to_string())
            .bind(name.to_owned())
            .bind(self.now.to_string());
        if self.run(sql).await?.scalar().is_none() {
            return Ok(None);
        }
        self.passkey_for_update(user, id).await
    }

    pub(crate) async fn rename_passkey(&self, id: Uuid, name: &str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.webauthn_credentials SET friendly_name = $2, updated_at = $3::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(name.to_owned());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// A passkey has opened the door.
    pub(crate) async fn use_passkey(&self, id: Uuid, seen: Seen) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.webauthn_credentials SET sign_count = $2::bigint, backed_up = $3::boolean, \
               last_used_at = $4::timestamptz, updated_at = $4::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(seen.sign_count.to_string());
        let sql = sql.bind(seen.backed_up.to_string());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn delete_passkey(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.webauthn_credentials WHERE id = $1::uuid");
        self.run(sql.bind(id.to_string())).await?;
        Ok(())
    }

    /// Remembers a question, and forgets a few that nobody answered.
    pub(crate) async fn insert_passkey_challenge(
        &self,
        user: Option<Uuid>,
        kind: &'static str,
        ceremony: &Value,
        expires_at: Timestamp,
    ) -> Result<Uuid> {
        let id = self.uuid();
        let clear = SqlBuf::fixed(include_str!(
            "../../sql/clear_expired_passkey_challenges.sql"
        ));
        let sql = SqlBuf::fixed(
            "INSERT INTO auth.webauthn_challenges (id, user_id, challenge_type, session_data, created_at, expires_at) \
             VALUES ($1::uuid, $2::uuid, $3, $4::jsonb, $5::timestamptz, $6::timestamptz)",
        );
        let sql = sql
            .bind(id.to_string())
            .bind(user.map(|id| id.to_string()))
            .bind(kind.to_owned())
            .bind(ceremony.to_string())
            .bind(self.now.to_string())
            .bind(expires_at.to_string());
        self.run_all(vec![clear.bind(self.now.to_string()), sql])
            .await?;
        Ok(id)
    }

    /// Takes a question away, so that it is answered once: of this kind, and
    /// this user's, or nobody's.
    pub(crate) async fn take_passkey_challenge(
        &self,
        id: Uuid,
        kind: &'static str,
        user: Option<Uuid>,
    ) -> Result<Option<PasskeyChallenge>> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.webauthn_challenges AS c WHERE c.id = $1::uuid AND c.challenge_type = $2 \
               AND c.user_id IS NOT DISTINCT FROM $3::uuid RETURNING to_jsonb(c)",
        );
        let sql = sql.bind(id.to_string()).bind(kind.to_owned());
        self.document(sql.bind(user.map(|id| id.to_string()))).await
    }
}

fn base64(blob: &Blob) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(&blob.0)
}
