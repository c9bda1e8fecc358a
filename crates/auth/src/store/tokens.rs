//! One-time tokens and what browsers set out to do.

use jiff::Timestamp;
use pg::SqlBuf;
use serde::Deserialize;
use uuid::Uuid;

use super::Tx;
use crate::error::Result;
use crate::request::nullable;

/// What a one-time token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OneTime {
    Confirmation,
    Reauthentication,
    Recovery,
    EmailChangeNew,
    EmailChangeCurrent,
    PhoneChange,
}

impl OneTime {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation_token",
            Self::Reauthentication => "reauthentication_token",
            Self::Recovery => "recovery_token",
            Self::EmailChangeNew => "email_change_token_new",
            Self::EmailChangeCurrent => "email_change_token_current",
            Self::PhoneChange => "phone_change_token",
        }
    }
}

/// A flow that a browser has begun.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FlowState {
    pub(crate) id: Uuid,
    #[serde(default)]
    pub(crate) user_id: Option<Uuid>,
    #[serde(default)]
    pub(crate) auth_code: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) code_challenge: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) code_challenge_method: String,
    pub(crate) provider_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) provider_access_token: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) provider_refresh_token: String,
    pub(crate) authentication_method: String,
    #[serde(default)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) auth_code_issued_at: Option<Timestamp>,
}

impl Tx {
    /// Remembers a token's hash; an older one of its kind is void.
    pub(crate) async fn one_time_token(
        &self,
        user: Uuid,
        kind: OneTime,
        hash: &str,
        relates_to: &str,
    ) -> Result<()> {
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_one_time_token.sql"))
            .bind(self.uuid().to_string())
            .bind(user.to_string())
            .bind(kind.as_str().to_owned())
            .bind(hash.to_owned())
            .bind(relates_to.to_owned())
            .bind(self.now.to_string());
        self.run_for("error creating one time token", sql).await?;
        Ok(())
    }

    pub(crate) async fn clear_one_time_tokens(&self, user: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.one_time_tokens WHERE user_id = $1::uuid");
        self.run(sql.bind(user.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn clear_one_time_token(&self, user: Uuid, kind: OneTime) -> Result<()> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.one_time_tokens WHERE user_id = $1::uuid AND token_type = $2::auth.one_time_token_type",
        );
        self.run(sql.bind(user.to_string()).bind(kind.as_str().to_owned()))
            .await?;
        Ok(())
    }

    /// A flow with a challenge: its code is issued once the user has shown
    /// who they are.
    pub(crate) async fn insert_flow(
        &self,
        user: Uuid,
        provider: &str,
        method: &str,
        challenge: (&str, &str),
    ) -> Result<()> {
        let (challenge, challenge_method) = challenge;
        let sql = SqlBuf::fixed(include_str!("../../sql/insert_flow_state.sql"))
            .bind(self.uuid().to_string())
            .bind(user.to_string())
            .bind(self.uuid().to_string())
            .bind(challenge_method.to_lowercase())
            .bind(challenge.to_owned())
            .bind(provider.to_owned())
            .bind(method.to_owned());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }

    /// The user's newest flow of a kind.
    pub(crate) async fn latest_flow(&self, user: Uuid, method: &str) -> Result<Option<FlowState>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(f) FROM auth.flow_state AS f \
             WHERE f.user_id = $1::uuid AND f.authentication_method = $2 ORDER BY f.created_at DESC LIMIT 1",
        );
        self.document(sql.bind(user.to_string()).bind(method.to_owned()))
            .await
    }

    /// The flow of a code, locked: a code is exchanged once.
    pub(crate) async fn flow_by_code(&self, code: &str) -> Result<Option<FlowState>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(f) FROM auth.flow_state AS f WHERE f.auth_code = $1 FOR UPDATE",
        );
        self.document(sql.bind(code.to_owned())).await
    }

    pub(crate) async fn issue_flow_code(&self, flow: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.flow_state SET auth_code_issued_at = $2::timestamptz, updated_at = $2::timestamptz \
             WHERE id = $1::uuid",
        );
        self.run(sql.bind(flow.to_string()).bind(self.now.to_string()))
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_flow(&self, flow: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed("DELETE FROM auth.flow_state WHERE id = $1::uuid");
        self.run(sql.bind(flow.to_string())).await?;
        Ok(())
    }
}
