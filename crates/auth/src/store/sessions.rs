//! Sessions and refresh tokens.

use jiff::Timestamp;
use pg::SqlBuf;
use uuid::Uuid;

use super::Tx;
use crate::error::Result;
use crate::model::{Method, RefreshToken, Session};

pub(super) fn by_id(id: Uuid) -> SqlBuf {
    SqlBuf::fixed(include_str!("../../sql/session.sql")).bind(id.to_string())
}

/// What is known of a session when it begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewSession {
    /// Its id, where something else is known by it already.
    pub(crate) id: Option<Uuid>,
    pub(crate) user_agent: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) factor_id: Option<Uuid>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) tag: Option<String>,
    pub(crate) oauth_client_id: Option<Uuid>,
    pub(crate) scopes: Option<String>,
}

impl Tx {
    pub(crate) async fn session(&self, id: Uuid) -> Result<Option<Session>> {
        self.document(by_id(id)).await
    }

    /// A session, its first refresh token and how it was won, in one round
    /// trip. Returns the session and the token.
    pub(crate) async fn insert_session(
        &self,
        user: Uuid,
        method: Method,
        new: &NewSession,
    ) -> Result<(Session, String)> {
        let (id, now) = (new.id.unwrap_or_else(|| self.uuid()), self.now.to_string());
        let token = self.refresh_token();
        let session = SqlBuf::fixed(include_str!("../../sql/insert_session.sql"))
            .bind(id.to_string())
            .bind(user.to_string())
            .bind(now.clone())
            .bind(new.factor_id.map(|id| id.to_string()))
            .bind(new.not_after.map(|at| at.to_string()))
            .bind(new.user_agent.clone())
            .bind(new.ip.clone())
            .bind(new.tag.clone())
            .bind(new.oauth_client_id.map(|id| id.to_string()))
            .bind(new.scopes.clone());
        let last_sign_in = SqlBuf::fixed(
            "UPDATE auth.users SET last_sign_in_at = $2::timestamptz, updated_at = $2::timestamptz WHERE id = $1::uuid",
        );
        let mut rows = self
            .run_all(vec![
                session,
                self.refresh_token_row(&token, user, id, None),
                self.amr_claim(id, method),
                last_sign_in.bind(user.to_string()).bind(now),
                by_id(id),
            ])
            .await?;
        let session = super::document(&rows.pop().unwrap_or_default())?;
        let session = session.ok_or(crate::AuthError::Internal(
            "Database error creating new session",
        ))?;
        Ok((session, token))
    }

    /// Twelve characters of base32: 60 bits, GoTrue's form.
    pub(super) fn refresh_token(&self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let random: [u8; 12] = self.rng.bytes();
        random
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
            .map(|byte| char::from(*byte))
            .collect()
    }

    pub(super) fn refresh_token_row(
        &self,
        token: &str,
        user: Uuid,
        session: Uuid,
        parent: Option<&str>,
    ) -> SqlBuf {
        SqlBuf::fixed(include_str!("../../sql/insert_refresh_token.sql"))
            .bind(token.to_owned())
            .bind(user.to_string())
            .bind(self.now.to_string())
            .bind(parent.map(str::to_owned))
            .bind(session.to_string())
    }

    fn amr_claim(&self, session: Uuid, method: Method) -> SqlBuf {
        SqlBuf::fixed(include_str!("../../sql/insert_amr_claim.sql"))
            .bind(self.uuid().to_string())
            .bind(session.to_string())
            .bind(self.now.to_string())
            .bind(method.as_str().to_owned())
    }

    /// One more proof was shown in a session.
    pub(crate) async fn record_method(&self, session: Uuid, method: Method) -> Result<()> {
        self.run(self.amr_claim(session, method)).await?;
        Ok(())
    }

    /// The level of a session and the factor that won it.
    pub(crate) async fn set_aal(
        &self,
        session: Uuid,
        aal: &str,
        factor: Option<Uuid>,
    ) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.sessions SET aal = $2::auth.aal_level, factor_id = $3::uuid, updated_at = $4::timestamptz \
             WHERE id = $1::uuid",
        );
        let sql = sql.bind(session.to_string()).bind(aal.to_owned());
        let sql = sql.bind(factor.map(|id| id.to_string()));
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// A refresh token that is a row, locked. Two refreshes of one token come
    /// one after the other.
    pub(crate) async fn refresh_token_for_update(
        &self,
        token: &str,
    ) -> Result<Option<RefreshToken>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(t) FROM auth.refresh_tokens AS t WHERE t.token = $1 FOR UPDATE",
        );
        self.document(sql.bind(token.to_owned())).await
    }

    /// The session, locked.
    pub(crate) async fn session_for_update(&self, id: Uuid) -> Result<Option<Session>> {
        let lock = SqlBuf::fixed("SELECT FROM auth.sessions WHERE id = $1::uuid FOR UPDATE");
        let mut rows = self
            .run_all(vec![lock.bind(id.to_string()), by_id(id)])
            .await?;
        super::document(&rows.pop().unwrap_or_default())
    }

    /// The newest token of a session that is in force.
    pub(crate) async fn active_refresh_token(&self, session: Uuid) -> Result<Option<RefreshToken>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(t) FROM auth.refresh_tokens AS t \
             WHERE t.session_id = $1::uuid AND NOT t.revoked ORDER BY t.id DESC LIMIT 1",
        );
        self.document(sql.bind(session.to_string())).await
    }

    /// Takes a token out of force and puts another in its place.
    pub(crate) async fn swap_refresh_token(
        &self,
        old: &RefreshToken,
        session: Uuid,
    ) -> Result<String> {
        let token = self.refresh_token();
        let revoke = SqlBuf::fixed(
            "UPDATE auth.refresh_tokens SET revoked = true, updated_at = $2::timestamptz WHERE id = $1::bigint",
        );
        let revoke = revoke.bind(old.id.to_string()).bind(self.now.to_string());
        let new = self.refresh_token_row(&token, old.user_id, session, Some(&old.token));
        self.run_all(vec![revoke, new]).await?;
        Ok(token)
    }

    /// The count at which the session's next token is in force.
    pub(crate) async fn set_refresh_counter(&self, session: Uuid, counter: i64) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.sessions SET refresh_token_counter = $2::bigint WHERE id = $1::uuid",
        );
        self.run(sql.bind(session.to_string()).bind(counter.to_string()))
            .await?;
        Ok(())
    }

    /// Takes every token of a session out of force.
    pub(crate) async fn revoke_family(&self, session: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.refresh_tokens SET revoked = true, updated_at = $2::timestamptz \
             WHERE session_id = $1::uuid AND NOT revoked",
        );
        self.run(sql.bind(session.to_string()).bind(self.now.to_string()))
            .await?;
        Ok(())
    }

    pub(crate) async fn touch_session(
        &self,
        id: Uuid,
        agent: Option<String>,
        ip: Option<String>,
    ) -> Result<()> {
        let sql = SqlBuf::fixed(include_str!("../../sql/touch_session.sql"))
            .bind(id.to_string())
            .bind(self.now.to_string());
        self.run(sql.bind(agent).bind(ip)).await?;
        Ok(())
    }

    /// Whether another session of the user is newer than this.
    pub(crate) async fn has_newer_session(&self, session: &Session) -> Result<bool> {
        let sql = SqlBuf::fixed(
            "SELECT EXISTS (SELECT FROM auth.sessions AS s WHERE s.user_id = $1::uuid AND s.id <> $2::uuid \
               AND coalesce(s.tag, '') = $4 \
               AND coalesce(s.refreshed_at AT TIME ZONE 'utc', s.created_at) > $3::timestamptz)",
        );
        let sql = sql
            .bind(session.user_id.to_string())
            .bind(session.id.to_string());
        let sql = sql.bind(session.refreshed(None).to_string());
        let rows = self
            .run(sql.bind(session.tag.clone().unwrap_or_default()))
            .await?;
        Ok(rows.scalar() == Some("t"))
    }

    pub(crate) async fn end_session(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.sessions WHERE id = $1::uuid");
        self.run(sql.bind(id.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn end_sessions(&self, user: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.sessions WHERE user_id = $1::uuid");
        self.run(sql.bind(user.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn end_other_sessions(&self, user: Uuid, present: Uuid) -> Result<()> {
        let sql =
            SqlBuf::fixed("DELETE FROM auth.sessions WHERE user_id = $1::uuid AND id <> $2::uuid");
        self.run(sql.bind(user.to_string()).bind(present.to_string()))
            .await?;
        Ok(())
    }
}
