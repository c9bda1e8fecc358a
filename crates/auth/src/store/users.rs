//! Users and identities.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use pg::SqlBuf;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Tx, UserPatch, tokens};
use crate::error::{AuthError, Result};
use crate::model::{Identity, User};
use crate::routes::pages::Page;

const USER: &str = include_str!("../../sql/user.sql");

fn where_user(condition: &'static str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(USER).lit(condition);
    sql
}

pub(super) fn by_id(id: Uuid) -> SqlBuf {
    where_user(" AND u.id = $1::uuid").bind(id.to_string())
}

pub(super) fn by_email(email: &str, audience: &str) -> SqlBuf {
    where_user(
        " AND lower(u.email) = $1 AND u.aud = $2 AND NOT u.is_sso_user ORDER BY u.created_at LIMIT 1",
    )
    .bind(email.to_lowercase())
    .bind(audience.to_owned())
}

pub(super) fn by_phone(phone: &str, audience: &str) -> SqlBuf {
    where_user(" AND u.phone = $1 AND u.aud = $2 AND NOT u.is_sso_user LIMIT 1")
        .bind(phone.to_owned())
        .bind(audience.to_owned())
}

/// By identity first: an address may have been confirmed by a provider before
/// it became the user's own. Identities of single sign-on do not count.
pub(super) fn duplicate(email: &str, audience: &str, except: Option<Uuid>) -> SqlBuf {
    where_user(
        " AND u.aud = $2 AND u.id IS DISTINCT FROM $3::uuid AND (\
             EXISTS (SELECT FROM auth.identities AS i \
                     WHERE i.user_id = u.id AND i.email = $1 AND i.provider NOT LIKE 'sso:%') \
             OR (lower(u.email) = $1 AND NOT u.is_sso_user)) LIMIT 1",
    )
    .bind(email.to_lowercase())
    .bind(audience.to_owned())
    .bind(except.map(|id| id.to_string()))
}

fn matching(sql: &mut SqlBuf, audience: &str, filter: Option<&str>) {
    sql.lit(" AND u.aud = ").param(audience.to_owned());
    if let Some(filter) = filter {
        // Wildcards in it are the operator's own.
        let like = format!("%{filter}%");
        sql.lit(" AND (u.email LIKE ").param(like.clone());
        sql.lit(" OR u.raw_user_meta_data->>'full_name' ILIKE ")
            .param(like)
            .lit(")");
    }
}

pub(super) fn page(audience: &str, filter: Option<&str>, ascending: bool, page: &Page) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(USER);
    matching(&mut sql, audience, filter);
    sql.lit(if ascending {
        " ORDER BY u.created_at, u.id LIMIT "
    } else {
        " ORDER BY u.created_at DESC, u.id DESC LIMIT "
    });
    sql.param(page.limit().to_string()).lit("::bigint OFFSET ");
    sql.param(page.offset().to_string()).lit("::bigint");
    sql
}

pub(super) fn count(audience: &str, filter: Option<&str>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("SELECT count(*) FROM auth.users AS u WHERE true");
    matching(&mut sql, audience, filter);
    sql
}

/// A user to be.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) id: Uuid,
    pub(crate) aud: String,
    pub(crate) role: String,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) password_hash: Option<String>,
    pub(crate) app_metadata: Map<String, Value>,
    pub(crate) user_metadata: Map<String, Value>,
    pub(crate) is_anonymous: bool,
}

impl Tx {
    /// The user, locked until the end, so that a token is used once.
    pub(crate) async fn user_for_update(&self, id: Uuid) -> Result<Option<User>> {
        self.document(where_user(" AND u.id = $1::uuid FOR UPDATE OF u").bind(id.to_string()))
            .await
    }

    pub(crate) async fn user_by_id(&self, id: Uuid) -> Result<Option<User>> {
        self.document(by_id(id)).await
    }

    /// As it is in the database now: triggers and generated columns have
    /// their say in it.
    pub(crate) async fn reload(&self, user: &mut User) -> Result<()> {
        let fresh = self.user_by_id(user.id).await?;
        *user = fresh.ok_or(AuthError::Internal("Database error loading user"))?;
        Ok(())
    }

    pub(crate) async fn user_by_email(&self, email: &str, audience: &str) -> Result<Option<User>> {
        self.document(by_email(email, audience)).await
    }

    pub(crate) async fn user_by_phone(&self, phone: &str, audience: &str) -> Result<Option<User>> {
        self.document(by_phone(phone, audience)).await
    }

    pub(crate) async fn user_by_phone_change(
        &self,
        phone: &str,
        audience: &str,
    ) -> Result<Option<User>> {
        let sql =
            where_user(" AND u.phone_change = $1 AND u.aud = $2 AND NOT u.is_sso_user LIMIT 1");
        self.document(sql.bind(phone.to_owned()).bind(audience.to_owned()))
            .await
    }

    /// The user that one of these kinds of tokens belongs to.
    pub(crate) async fn user_by_token(
        &self,
        hash: &str,
        kinds: &[tokens::OneTime],
    ) -> Result<Option<User>> {
        let kinds = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
        let sql = where_user(
            " AND u.id = (SELECT t.user_id FROM auth.one_time_tokens AS t \
               WHERE t.token_hash IN ($1, 'pkce_' || $1) AND t.token_type::text = ANY ($2::text[]) LIMIT 1) \
             FOR UPDATE OF u",
        );
        self.document(
            sql.bind(hash.to_owned())
                .bind(format!("{{{}}}", kinds.join(","))),
        )
        .await
    }

    pub(crate) async fn insert_user(&self, new: &NewUser) -> Result<User> {
        let statement = SqlBuf::fixed(include_str!("../../sql/insert_user.sql"))
            .bind(new.id.to_string())
            .bind(new.aud.clone())
            .bind(new.role.clone())
            .bind(new.email.to_lowercase())
            .bind(new.phone.clone())
            .bind(new.password_hash.clone().unwrap_or_default())
            .bind(Value::Object(new.app_metadata.clone()).to_string())
            .bind(Value::Object(new.user_metadata.clone()).to_string())
            .bind(new.is_anonymous.to_string())
            .bind("false".to_owned())
            .bind(self.now.to_string());
        self.run_for("Database error saving new user", statement)
            .await?;
        let user = self.user_by_id(new.id).await?;
        user.ok_or(AuthError::Internal(
            "Database error loading user after sign-up",
        ))
    }

    pub(crate) async fn patch(&self, user: &User, patch: UserPatch) -> Result<()> {
        self.run_for("Database error updating user", patch.of(user.id))
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_user(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.users WHERE id = $1::uuid").bind(id.to_string());
        self.run_for("Database error deleting user", sql).await?;
        Ok(())
    }

    /// Makes a user unrecognisable, and everything of theirs void.
    pub(crate) async fn soft_delete(&self, user: &mut User) -> Result<()> {
        let hidden = |value: &str| obfuscated(user.id, value);
        let short = |value: &str| {
            obfuscated(user.id, value)
                .chars()
                .take(15)
                .collect::<String>()
        };
        let mut patch = UserPatch::new(self.now)
            .text("email", &hidden(&user.email))
            .text("phone", &short(&user.phone))
            .text("email_change", &hidden(&user.email_change))
            .text("phone_change", &short(&user.phone_change))
            .optional("encrypted_password", None)
            .object("raw_user_meta_data", &Map::new())
            .object("raw_app_meta_data", &Map::new())
            .at("deleted_at", Some(self.now));
        for column in [
            "confirmation_token",
            "recovery_token",
            "email_change_token_current",
            "email_change_token_new",
            "phone_change_token",
            "reauthentication_token",
        ] {
            patch = patch.text(column, "");
        }
        self.patch(user, patch).await?;
        for identity in &user.identities {
            let sql = SqlBuf::fixed(
                "UPDATE auth.identities SET identity_data = '{}', provider_id = $2 WHERE id = $1::uuid",
            );
            let id = obfuscated(identity.user_id, &identity.provider_id);
            self.run(sql.bind(identity.id.to_string()).bind(id)).await?;
        }
        let gone = [
            "DELETE FROM auth.one_time_tokens WHERE user_id = $1::uuid",
            "DELETE FROM auth.mfa_factors WHERE user_id = $1::uuid",
            "DELETE FROM auth.webauthn_credentials WHERE user_id = $1::uuid",
            "DELETE FROM auth.sessions WHERE user_id = $1::uuid",
        ];
        let gone = gone.map(|sql| SqlBuf::fixed(sql).bind(user.id.to_string()));
        self.run_all(gone.into()).await?;
        Ok(())
    }

    /// One more identity; the provider's id of the user is `sub` in the data.
    pub(crate) async fn insert_identity(
        &self,
        user: &mut User,
        provider: &str,
        mut data: Map<String, Value>,
    ) -> Result<()> {
        let subject = data.get("sub").and_then(Value::as_str).map(str::to_owned);
        let subject = subject.ok_or(AuthError::Internal(
            "Error creating identity: missing provider id",
        ))?;
        if let Some(email) = data.get("email").and_then(Value::as_str) {
            let lower = email.to_lowercase();
            data.insert("email".to_owned(), lower.into());
        }
        let id = self.uuid();
        let statement = SqlBuf::fixed(include_str!("../../sql/insert_identity.sql"))
            .bind(id.to_string())
            .bind(subject.clone())
            .bind(user.id.to_string())
            .bind(Value::Object(data.clone()).to_string())
            .bind(provider.to_owned())
            .bind(self.now.to_string());
        self.run_for("Error creating identity", statement).await?;
        let email = data
            .get("email")
            .and_then(Value::as_str)
            .unwrap_or_default();
        user.identities.push(Identity {
            id,
            provider_id: subject,
            user_id: user.id,
            email: email.to_owned(),
            identity_data: data,
            provider: provider.to_owned(),
            last_sign_in_at: Some(self.now),
            created_at: Some(self.now),
            updated_at: Some(self.now),
        });
        Ok(())
    }

    /// Merges into what an identity says; `null` removes.
    pub(crate) async fn merge_identity(&self, id: Uuid, updates: &Value) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.identities \
             SET identity_data = jsonb_strip_nulls(identity_data || $2::jsonb), updated_at = $3::timestamptz \
             WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(updates.to_string());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn delete_identity(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.identities WHERE id = $1::uuid");
        self.run(sql.bind(id.to_string())).await?;
        Ok(())
    }

    /// Sets what the user says about themselves; `null` removes.
    pub(crate) async fn merge_user_metadata(
        &self,
        user: &mut User,
        updates: &Map<String, Value>,
    ) -> Result<()> {
        merge(&mut user.user_metadata, updates);
        let patch = UserPatch::new(self.now).object("raw_user_meta_data", &user.user_metadata);
        self.patch(user, patch).await
    }

    /// Sets what the operator says about the user; `null` removes.
    pub(crate) async fn merge_app_metadata(
        &self,
        user: &mut User,
        updates: &Map<String, Value>,
    ) -> Result<()> {
        merge(&mut user.app_metadata, updates);
        let patch = UserPatch::new(self.now).object("raw_app_meta_data", &user.app_metadata);
        self.patch(user, patch).await
    }

    /// Writes into `app_metadata` by whom the user signs in, oldest first.
    pub(crate) async fn record_providers(&self, user: &mut User) -> Result<()> {
        let sql = SqlBuf::fixed(
            "SELECT provider FROM auth.identities WHERE user_id = $1::uuid \
             GROUP BY provider ORDER BY min(created_at)",
        );
        let rows = self.run(sql.bind(user.id.to_string())).await?;
        let providers: Vec<String> = rows
            .iter()
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect();
        let mut updates = Map::new();
        if let Some(first) = providers.first() {
            updates.insert("provider".to_owned(), json!(first));
        }
        updates.insert("providers".to_owned(), json!(providers));
        self.merge_app_metadata(user, &updates).await
    }

    /// The e-mail address is the user's: no token is open any more.
    pub(crate) async fn confirm(&self, user: &mut User) -> Result<()> {
        user.confirmation_token.clear();
        user.email_confirmed_at = Some(self.now);
        user.user_metadata
            .insert("email_verified".to_owned(), true.into());
        let patch = UserPatch::new(self.now)
            .text("confirmation_token", "")
            .at("email_confirmed_at", user.email_confirmed_at)
            .object("raw_user_meta_data", &user.user_metadata);
        self.patch(user, patch).await?;
        self.clear_one_time_tokens(user.id).await
    }

    /// The phone number is the user's.
    pub(crate) async fn confirm_phone(&self, user: &mut User) -> Result<()> {
        user.confirmation_token.clear();
        user.phone_confirmed_at = Some(self.now);
        let patch = UserPatch::new(self.now)
            .text("confirmation_token", "")
            .at("phone_confirmed_at", user.phone_confirmed_at);
        self.patch(user, patch).await?;
        self.clear_one_time_tokens(user.id).await
    }

    /// From now on the user is somebody.
    pub(crate) async fn end_anonymity(&self, user: &mut User) -> Result<()> {
        if !user.is_anonymous {
            return Ok(());
        }
        user.is_anonymous = false;
        self.patch(user, UserPatch::new(self.now).flag("is_anonymous", false))
            .await
    }

    /// Bans until a moment, or no longer.
    pub(crate) async fn ban(&self, user: &mut User, until: Option<Timestamp>) -> Result<()> {
        user.banned_until = until;
        self.patch(user, UserPatch::new(self.now).at("banned_until", until))
            .await
    }

    /// Stores a new password. Whoever knew the old one is out: open tokens and
    /// all sessions but the present one end.
    pub(crate) async fn set_password(
        &self,
        user: &mut User,
        hash: Option<String>,
        present: Option<Uuid>,
    ) -> Result<()> {
        let mut patch = UserPatch::new(self.now).optional("encrypted_password", hash.as_deref());
        user.encrypted_password = hash;
        for column in [
            "confirmation_token",
            "recovery_token",
            "email_change_token_current",
            "email_change_token_new",
            "phone_change_token",
            "reauthentication_token",
        ] {
            patch = patch.text(column, "");
        }
        for column in [
            "confirmation_sent_at",
            "recovery_sent_at",
            "email_change_sent_at",
            "phone_change_sent_at",
            "reauthentication_sent_at",
        ] {
            patch = patch.at(column, None);
        }
        self.patch(user, patch).await?;
        self.clear_one_time_tokens(user.id).await?;
        match present {
            Some(present) => self.end_other_sessions(user.id, present).await,
            None => self.end_sessions(user.id).await,
        }
    }

    /// The same password under a better hash: nobody has to sign in again.
    pub(crate) async fn rehash_password(&self, user: &User, hash: &str) -> Result<()> {
        self.patch(
            user,
            UserPatch::new(self.now).text("encrypted_password", hash),
        )
        .await
    }
}

/// Takes updates over; `null` removes.
pub(crate) fn merge(into: &mut Map<String, Value>, updates: &Map<String, Value>) {
    for (name, value) in updates {
        if value.is_null() {
            into.shift_remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}

/// A value that can be compared but not read any more.
fn obfuscated(id: Uuid, value: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(id.to_string().as_bytes());
    hash.update(value.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}
