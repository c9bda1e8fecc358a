//! Trips of browsers to providers, and whose accounts there are whose here.

use jiff::Timestamp;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Tx;
use crate::error::Result;
use crate::model::User;
use crate::request::nullable;

/// A trip that begins.
#[derive(Clone, Debug)]
pub(crate) struct NewOAuthFlow<'a> {
    /// The state that the provider gives back.
    pub(crate) id: Uuid,
    pub(crate) provider: &'a str,
    pub(crate) verifier: &'a str,
    pub(crate) challenge: &'a str,
    pub(crate) challenge_method: &'a str,
    pub(crate) invite_token: Option<&'a str>,
    pub(crate) referrer: &'a str,
    pub(crate) linking_target: Option<Uuid>,
    pub(crate) email_optional: bool,
}

/// A trip that somebody came back from.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OAuthFlow {
    pub(crate) id: Uuid,
    pub(crate) provider_type: String,
    #[serde(default)]
    pub(crate) user_id: Option<Uuid>,
    #[serde(default)]
    pub(crate) auth_code: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) code_challenge: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) invite_token: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) referrer: String,
    #[serde(default)]
    pub(crate) oauth_client_state_id: Option<Uuid>,
    #[serde(default)]
    pub(crate) linking_target_id: Option<Uuid>,
    pub(crate) email_optional: bool,
    #[serde(default)]
    pub(crate) created_at: Option<Timestamp>,
}

impl OAuthFlow {
    /// Ends in a code that only who began it can exchange.
    pub(crate) fn is_pkce(&self) -> bool {
        !self.code_challenge.is_empty()
    }
}

/// Our side of a trip, taken: it is not there a second time.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClientState {
    pub(crate) provider_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) code_verifier: String,
    #[serde(default)]
    pub(crate) created_at: Option<Timestamp>,
}

impl Tx {
    /// Remembers a trip, and forgets some that are long over.
    pub(crate) async fn insert_oauth_flow(&self, new: &NewOAuthFlow<'_>) -> Result<()> {
        let (ours, now) = (self.uuid(), self.now.to_string());
        let pkce = !new.challenge.is_empty();
        let state = SqlBuf::fixed(
            "INSERT INTO auth.oauth_client_states (id, provider_type, code_verifier, created_at) \
             VALUES ($1::uuid, $2, $3, $4::timestamptz)",
        )
        .bind(ours.to_string())
        .bind(new.provider.to_owned())
        .bind(new.verifier.to_owned())
        .bind(now.clone());
        let flow = SqlBuf::fixed(include_str!("../../sql/insert_oauth_flow.sql"))
            .bind(new.id.to_string())
            .bind(new.provider.to_owned())
            .bind(pkce.then(|| self.uuid().to_string()))
            .bind(pkce.then(|| new.challenge_method.to_lowercase()))
            .bind(pkce.then(|| new.challenge.to_owned()))
            .bind(new.invite_token.map(str::to_owned))
            .bind(new.referrer.to_owned())
            .bind(ours.to_string())
            .bind(new.linking_target.map(|id| id.to_string()))
            .bind(new.email_optional.to_string())
            .bind(now.clone());
        let prune = SqlBuf::fixed(include_str!("../../sql/prune_flows.sql")).bind(now);
        self.run_all(vec![prune, state, flow]).await?;
        Ok(())
    }

    /// The trip with this state, locked.
    pub(crate) async fn oauth_flow_for_update(&self, id: Uuid) -> Result<Option<OAuthFlow>> {
        let sql = SqlBuf::fixed(
            "SELECT to_jsonb(f) FROM auth.flow_state AS f \
             WHERE f.id = $1::uuid AND f.authentication_method = 'oauth' FOR UPDATE",
        );
        self.document(sql.bind(id.to_string())).await
    }

    /// Our side of a trip, once.
    pub(crate) async fn take_client_state(&self, id: Uuid) -> Result<Option<ClientState>> {
        let sql = SqlBuf::fixed(
            "DELETE FROM auth.oauth_client_states AS s WHERE s.id = $1::uuid RETURNING to_jsonb(s)",
        );
        self.document(sql.bind(id.to_string())).await
    }

    /// The user of a trip is known: its code may be exchanged from now on.
    pub(crate) async fn finish_oauth_flow(
        &self,
        id: Uuid,
        user: Uuid,
        tokens: (&str, &str),
    ) -> Result<bool> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.flow_state \
             SET user_id = $2::uuid, provider_access_token = $3, provider_refresh_token = $4, \
                 auth_code_issued_at = $5::timestamptz, updated_at = $5::timestamptz \
             WHERE id = $1::uuid AND user_id IS NULL",
        );
        let (access, refresh) = tokens;
        let sql = sql.bind(id.to_string()).bind(user.to_string());
        let sql = sql.bind(access.to_owned()).bind(refresh.to_owned());
        let rows = self.run(sql.bind(self.now.to_string())).await?;
        Ok(rows.affected() == 1)
    }

    /// The user with an account at a provider, locked. Two who come with the
    /// same account for the first time come one after the other.
    pub(crate) async fn user_by_identity(
        &self,
        provider: &str,
        subject: &str,
    ) -> Result<Option<User>> {
        let one_by_one =
            SqlBuf::fixed("SELECT pg_advisory_xact_lock(hashtextextended($1 || ':' || $2, 0))");
        let who = SqlBuf::fixed(
            "SELECT user_id FROM auth.identities WHERE provider = $1 AND provider_id = $2",
        );
        let bound = |sql: SqlBuf| sql.bind(provider.to_owned()).bind(subject.to_owned());
        self.run(bound(one_by_one)).await?;
        let rows = self.run(bound(who)).await?;
        match rows.scalar().and_then(|id| Uuid::parse_str(id).ok()) {
            Some(id) => self.user_for_update(id).await,
            None => Ok(None),
        }
    }

    /// Who has shown, or signed up with, one of these addresses. An address
    /// that a provider did not vouch for is nobody's.
    pub(crate) async fn users_with_emails(&self, emails: &[&str]) -> Result<Vec<Uuid>> {
        let sql = SqlBuf::fixed(
            "SELECT DISTINCT u.id FROM auth.users AS u \
             LEFT JOIN auth.identities AS i ON i.user_id = u.id \
             WHERE NOT u.is_sso_user AND (\
                 lower(u.email) IN (SELECT jsonb_array_elements_text($1::jsonb)) \
                 OR (i.email IN (SELECT jsonb_array_elements_text($1::jsonb)) \
                     AND i.provider NOT LIKE 'sso:%' \
                     AND i.identity_data->>'email_verified' = 'true')) LIMIT 2",
        );
        let rows = self.run(sql.bind(Value::from(emails.to_vec()).to_string()));
        let rows = rows.await?;
        let ids = rows.iter().filter_map(|row| row.get(0)?.parse().ok());
        Ok(ids.collect())
    }

    /// What a provider says now.
    pub(crate) async fn renew_identity(&self, id: Uuid, data: &Value) -> Result<()> {
        let sql = SqlBuf::fixed(
            "UPDATE auth.identities \
             SET identity_data = $2::jsonb, last_sign_in_at = $3::timestamptz, updated_at = $3::timestamptz \
             WHERE id = $1::uuid",
        );
        let sql = sql.bind(id.to_string()).bind(data.to_string());
        self.run(sql.bind(self.now.to_string())).await?;
        Ok(())
    }
}
