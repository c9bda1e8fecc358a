//! Users of an old system arrive one by one: the password of an address that
//! nobody here has is shown to the old system once, and kept when it is right.
//!
//! The old system is Cognito (`USER_PASSWORD_AUTH`, for a client without a
//! secret), or any service that answers a POST of `{"email", "password"}` with
//! 200 and `{"email_verified", "user_metadata"}`, or with 401, 403 or 404.
//! While it does not answer, nobody comes in by it.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::accounts;
use crate::config::Legacy;
use crate::error::Result;
use crate::model::{User, own_identity_data};
use crate::password::PASSWORD_BYTES_MAX;
use crate::request::Call;
use crate::room::Auth;
use crate::routes::signup::preview;
use crate::store::Actor;
use outbound::Budget;

/// Somebody waits at a form.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(5),
    body: 64 * 1024,
};

/// Somebody whom the old system knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    email_verified: bool,
    user_metadata: Map<String, Value>,
}

impl Auth {
    /// A user with this address and password, if the old system knows them.
    pub(crate) async fn adopt(
        &self,
        call: &Call,
        email: &str,
        password: &str,
    ) -> Result<Option<User>> {
        let Some(legacy) = &self.config.legacy else {
            return Ok(None);
        };
        let usable = !password.is_empty() && password.len() <= PASSWORD_BYTES_MAX;
        let Some(email) = accounts::email(email).ok().filter(|_| usable) else {
            return Ok(None);
        };
        let Some(known) = self.ask_legacy(legacy, &email, password).await else {
            return Ok(None);
        };
        let hash = self.hash(password).await?;
        let audience = call.audience(self);
        let mut new = self.new_user(&audience, Some("email"), known.user_metadata);
        new.email.clone_from(&email);
        new.password_hash = Some(hash);
        self.before_user_created(&preview(&new), call).await?;
        let tx = self.store.begin().await?;
        let mut user = tx.insert_user(&new).await?;
        let data = own_identity_data(user.id, "email", &email, known.email_verified);
        tx.insert_identity(&mut user, "email", data).await?;
        let traits = json!({"provider": "email"});
        tx.audit(&Actor::user(&user), "user_signedup", Some(traits), "")
            .await?;
        if known.email_verified {
            tx.confirm(&mut user).await?;
        }
        tx.reload(&mut user).await?;
        tx.commit().await?;
        self.after_user_created(&user.document(), call).await?;
        Ok(Some(user))
    }

    async fn ask_legacy(&self, legacy: &Legacy, email: &str, password: &str) -> Option<Known> {
        match legacy {
            Legacy::Hook { url, secret } => {
                let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
                if let Some(secret) = secret {
                    let shown = format!("Bearer {}", secret.expose());
                    request = request.header(AUTHORIZATION, shown);
                }
                let body = json!({"email": email, "password": password});
                self.call_legacy(request.body(Bytes::from(body.to_string())))
                    .await
            }
            Legacy::Cognito { url, client_id } => {
                let body = json!({
                    "AuthFlow": "USER_PASSWORD_AUTH",
                    "ClientId": client_id,
                    "AuthParameters": {"USERNAME": email, "PASSWORD": password},
                });
                let answer: Value = self
                    .call_legacy(cognito(url, "InitiateAuth", &body))
                    .await?;
                // Without it somebody is asked for more, such as a second factor.
                let token = answer
                    .pointer("/AuthenticationResult/AccessToken")?
                    .as_str()?;
                let body = json!({"AccessToken": token});
                let person: Value = self.call_legacy(cognito(url, "GetUser", &body)).await?;
                let attributes = person.get("UserAttributes")?.as_array()?;
                let said = |name: &str| {
                    let of = |pair: &&Value| pair.get("Name").is_some_and(|it| it == name);
                    attributes.iter().find(of)?.get("Value")?.as_str()
                };
                // What was typed may have been a name, and somebody else's address.
                let same = said("email")?.eq_ignore_ascii_case(email);
                let mut user_metadata = Map::new();
                if let Some(name) = said("name") {
                    user_metadata.insert("name".to_owned(), name.into());
                }
                same.then(|| Known {
                    email_verified: said("email_verified") == Some("true"),
                    user_metadata,
                })
            }
        }
    }

    async fn call_legacy<T: serde::de::DeserializeOwned>(
        &self,
        request: http::Result<Request<Bytes>>,
    ) -> Option<T> {
        let answer = match self.parts.outside.call(request.ok()?, BUDGET).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "The old issuer of passwords cannot be asked");
                return None;
            }
        };
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).ok(),
            // Cognito refuses with 400.
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND => None,
            status => {
                tracing::warn!(%status, "The old issuer of passwords fails");
                None
            }
        }
    }
}

fn cognito(url: &str, action: &str, body: &Value) -> http::Result<Request<Bytes>> {
    Request::post(url)
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header(
            "x-amz-target",
            format!("AWSCognitoIdentityProviderService.{action}"),
        )
        .body(Bytes::from(body.to_string()))
}
