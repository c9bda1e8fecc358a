//! Second factors and their challenges.

use std::net::IpAddr;

use jiff::Timestamp;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Tx;
use crate::error::Result;
use crate::model::{Factor, Method};
use crate::totp::Step;

/// A factor to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewFactor {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) friendly_name: String,
    pub(crate) factor_type: &'static str,
    /// Of an authenticator app, in base32.
    pub(crate) secret: Option<String>,
    pub(crate) phone: Option<String>,
}

/// A question put to a factor.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Challenge {
    pub(crate) id: Uuid,
    pub(crate) factor_id: Uuid,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) verified_at: Option<Timestamp>,
    pub(crate) ip_address: IpAddr,
    /// Of a phone: the code's hash. Of an app: the step of the code that
    /// answered it.
    #[serde(default)]
    pub(crate) otp_code: Option<String>,
    #[serde(default)]
    pub(crate) web_authn_session_data: Option<Value>,
}

impl Tx {
    /// The user's own factor, locked. Somebody else's does not exist.
    pub(crate) async fn factor_for_update(&self, user: Uuid, id: Uuid) -> Result<Option<Factor>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(f) FROM auth.mfa_factors AS f WHERE f.id = $1::uuid AND f.user_id = $2::uuid FOR UPDATE",
        );
        self.document(sql.bind(id.to_string()).bind(user.to_string()))
            .await
    }

    pub(crate) async fn insert_factor(&self, new: &NewFactor) -> Result<()> {
        let name = Some(new.friendly_name.clone());
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_factor.sql"))
            .bind(new.id.to_string())
            .bind(new.user_id.to_string())
            .bind(name)
            .bind(new.factor_type.to_owned())
            .bind(self.now.to_string())
            .bind(new.secret.clone())
            .bind(new.phone.clone());
        self.run(sql).await?;
        Ok(())
    }

    /// Forgets the user's factors that were never finished: those made before
    /// `before` that nobody has challenged, and all that are a day old.
    pub(crate) async fn clear_stale_factors(&self, user: Uuid, before: Timestamp) -> Result<()> {
        let sql = SqlBuf::fixed(include_str!("../../sql/clear_stale_factors.sql"));
        let sql = sql.bind(user.to_string()).bind(self.now.to_string());
        let old = SqlBuf::fixed(
            "DELETE FROM auth.mfa_challenges AS c USING auth.mfa_factors AS f \
             WHERE f.id = c.factor_id AND f.user_id = $1::uuid \
               AND c.created_at < $2::timestamptz - interval '24 hours'",
        );
        let old = old.bind(user.to_string()).bind(self.now.to_string());
        self.run_all(vec![sql.bind(before.to_string()), old])
            .await?;
        Ok(())
    }

    /// Forgets the user's other factors of a kind that were never verified.
    pub(crate) async fn delete_unverified_factors(&self, user: Uuid, kind: &str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.mfa_factors WHERE user_id = $1::uuid AND status = 'unverified' \
               AND factor_type = $2::auth.factor_type",
        );
        self.run(sql.bind(user.to_string()).bind(kind.to_owned()))
            .await?;
        Ok(())
    }

    /// Forgets a number's factors that were never verified, so that the number
    /// can be enrolled again.
    pub(crate) async fn delete_unverified_phone(&self, user: Uuid, phone: &str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.mfa_factors WHERE user_id = $1::uuid AND status = 'unverified' \
               AND factor_type = 'phone' AND phone = $2",
        );
        self.run(sql.bind(user.to_string()).bind(phone.to_owned()))
            .await?;
        Ok(())
    }

    /// The factor counts from now on.
    pub(crate) async fn verify_factor(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET status = 'verified', updated_at = $2::timestamptz WHERE id = $1::uuid",
        );
        self.run(sql.bind(id.to_string()).bind(self.now.to_string()))
            .await?;
        Ok(())
    }

    /// The credential that a factor is.
    pub(crate) async fn keep_credential(
        &self,
        id: Uuid,
        credential: &Value,
        aaguid: Option<Uuid>,
    ) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET web_authn_credential = $2::jsonb, web_authn_aaguid = $3::uuid, \
               updated_at = $4::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(credential.to_string());
        let sql = sql.bind(aaguid.map(|id| id.to_string()));
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// How often an authenticator has signed, by its own account.
    pub(crate) async fn count_signature(&self, id: Uuid, count: u32) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET updated_at = $3::timestamptz, web_authn_credential = \
               jsonb_set(web_authn_credential, '{authenticator,signCount}', to_jsonb($2::bigint)) \
             WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(count.to_string());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// The last question and answer of an authenticator, for whoever wants to
    /// check them again.
    pub(crate) async fn keep_answer(&self, id: Uuid, data: &Value) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET last_webauthn_challenge_data = $2::jsonb WHERE id = $1::uuid",
        );
        self.run(sql.bind(id.to_string()).bind(data.to_string()))
            .await?;
        Ok(())
    }

    pub(crate) async fn rename_factor(&self, id: Uuid, name: &str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET friendly_name = $2, updated_at = $3::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(name.to_owned());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn set_factor_phone(&self, id: Uuid, phone: &str) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_factors SET phone = $2, updated_at = $3::timestamptz WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(phone.to_owned());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// The factor is gone, and so is what it proved.
    pub(crate) async fn delete_factor(&self, factor: &Factor) -> Result<()> {
        let method = Method::of_factor(&factor.factor_type);
        let downgrade = SqlBuf::fixed(include_str!("../../sql/downgrade_sessions.sql"))
            .bind(factor.user_id.to_string())
            .bind(factor.id.to_string())
            .bind(method.as_str().to_owned())
            .bind(self.now.to_string());
        let delete = SqlBuf::fixed("DELETE FROM auth.mfa_factors WHERE id = $1::uuid");
        self.run_all(vec![downgrade, delete.bind(factor.id.to_string())])
            .await?;
        Ok(())
    }

    pub(crate) async fn insert_challenge(
        &self,
        factor: Uuid,
        address: IpAddr,
        code_hash: Option<String>,
        ceremony: Option<&Value>,
    ) -> Result<Uuid> {
        let id = self.uuid();
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_challenge.sql"))
            .bind(id.to_string())
            .bind(factor.to_string())
            .bind(self.now.to_string())
            .bind(address.to_string())
            .bind(code_hash)
            .bind(ceremony.map(Value::to_string));
        self.run(sql).await?;
        Ok(id)
    }

    /// The factor's own challenge, locked. Another factor's does not exist.
    pub(crate) async fn challenge_for_update(
        &self,
        factor: Uuid,
        id: Uuid,
    ) -> Result<Option<Challenge>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(c) FROM auth.mfa_challenges AS c \
             WHERE c.id = $1::uuid AND c.factor_id = $2::uuid FOR UPDATE",
        );
        self.document(sql.bind(id.to_string()).bind(factor.to_string()))
            .await
    }

    /// The challenge was met; by a code of this step, if it was an app's.
    pub(crate) async fn meet_challenge(&self, id: Uuid, step: Option<Step>) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.mfa_challenges SET verified_at = $2::timestamptz, otp_code = $3 WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(self.now.to_string());
        self.run(sql.bind(step.map(|Step(step)| step.to_string())))
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_challenge(&self, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.mfa_challenges WHERE id = $1::uuid");
        self.run(sql.bind(id.to_string())).await?;
        Ok(())
    }

    /// The newest step whose code this factor has honoured.
    pub(crate) async fn last_totp_step(&self, factor: Uuid) -> Result<Option<Step>> {
        let sql = SqlBuf::fixed(include_str!("../../sql/last_totp_step.sql"));
        let rows = self.run(sql.bind(factor.to_string())).await?;
        let step = rows.scalar().and_then(|text| text.parse().ok());
        Ok(step.map(Step))
    }

    /// Ends the user's sessions in which no second factor was shown.
    pub(crate) async fn end_low_sessions(&self, user: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.sessions WHERE user_id = $1::uuid AND coalesce(aal, 'aal1') < 'aal2'",
        );
        self.run(sql.bind(user.to_string())).await?;
        Ok(())
    }

    /// A refresh token for a session that has just been raised. Those of
    /// before are forgotten and not merely revoked: neither the window for
    /// reuse nor a lost answer may turn one of them into what it was not.
    pub(crate) async fn renew_refresh_token(&self, user: Uuid, session: Uuid) -> Result<String> {
        let forget = SqlBuf::fixed("DELETE FROM auth.refresh_tokens WHERE session_id = $1::uuid");
        self.run(forget.bind(session.to_string())).await?;
        let token = self.refresh_token();
        self.run(self.refresh_token_row(&token, user, session, None))
            .await?;
        Ok(token)
    }

    /// Locks the session's refresh tokens, as a refresh does before it locks
    /// the session: in the same order, the two do not wait for each other.
    pub(crate) async fn lock_refresh_tokens(&self, session: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(
            "SELECT FROM auth.refresh_tokens WHERE session_id = $1::uuid ORDER BY id FOR UPDATE",
        );
        self.run(sql.bind(session.to_string())).await?;
        Ok(())
    }
}
