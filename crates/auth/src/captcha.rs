//! Proof of being human: asks hCaptcha or Cloudflare Turnstile about a token.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Uri};
use kernel::Secret;
use serde::Deserialize;

use crate::error::AuthError;
use crate::ports::{self, Humans};
use outbound::{Budget, Client};

/// GoTrue's.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(10),
    body: 64 * 1024,
};

/// Turnstile's are at most 2048 characters, hCaptcha's about as many.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// `hcaptcha`
    HCaptcha,
    /// `turnstile`
    Turnstile,
    /// Any service that answers as these two do.
    Compatible(Uri),
}

impl Provider {
    /// Reads `auth.captcha.provider`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "hcaptcha" => Some(Self::HCaptcha),
            "turnstile" => Some(Self::Turnstile),
            _ => None,
        }
    }

    fn uri(&self) -> Uri {
        match self {
            Self::HCaptcha => Uri::from_static("https://hcaptcha.com/siteverify"),
            Self::Turnstile => {
                Uri::from_static("https://challenges.cloudflare.com/turnstile/v0/siteverify")
            }
            Self::Compatible(uri) => uri.clone(),
        }
    }
}

/// Asks one service.
#[derive(Clone, Debug)]
pub struct Captcha {
    provider: Provider,
    secret: Secret,
    client: Client,
}

/// No proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptchaError {
    /// 400 `captcha_failed`.
    #[error("captcha protection: request disallowed (no captcha_token found)")]
    Missing,
    /// 400 `captcha_failed`, with the service's codes.
    #[error("captcha protection: request disallowed ({0})")]
    Disallowed(String),
    /// 500 `unexpected_failure`: the service cannot be asked, so nobody passes.
    #[error("captcha verification process failed")]
    Unreachable,
}

impl Humans for Captcha {
    fn prove<'a>(
        &'a self,
        token: &'a Secret,
        address: &'a str,
    ) -> ports::Answer<'a, Result<(), String>> {
        Box::pin(async move {
            match self.verify(token.expose(), address).await {
                Ok(()) => Ok(Ok(())),
                Err(CaptchaError::Missing) => Ok(Err("no captcha_token found".to_owned())),
                Err(CaptchaError::Disallowed(codes)) => Ok(Err(codes)),
                Err(CaptchaError::Unreachable) => {
                    Err(AuthError::Internal("captcha verification process failed"))
                }
            }
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    success: bool,
    #[serde(default, rename = "error-codes")]
    codes: Vec<String>,
}

impl Captcha {
    /// A verifier with the project's secret.
    #[must_use]
    pub fn new(provider: Provider, secret: &Secret, client: Client) -> Self {
        Self {
            provider,
            secret: Secret::new(secret.expose().trim()),
            client,
        }
    }

    /// Whether `token`, which the client got for being human, is good.
    pub async fn verify(&self, token: &str, ip: &str) -> Result<(), CaptchaError> {
        let token = token.trim();
        if token.is_empty() {
            return Err(CaptchaError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(CaptchaError::Disallowed(
                "invalid-input-response".to_owned(),
            ));
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("secret", self.secret.expose())
            .append_pair("response", token)
            .append_pair("remoteip", ip)
            .finish();
        let request = Request::post(self.provider.uri())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(|_| CaptchaError::Unreachable)?;
        let answer = self.client.call(request, BUDGET).await.map_err(|error| {
            tracing::warn!(%error, "the captcha service cannot be asked");
            CaptchaError::Unreachable
        })?;
        let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| {
            tracing::warn!(status = %answer.status, "the captcha service makes no sense");
            CaptchaError::Unreachable
        })?;
        if answer.success {
            return Ok(());
        }
        Err(CaptchaError::Disallowed(answer.codes.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use kernel::Tasks;
    use outbound::Reach;

    /// Answers as the real ones do, and is as strict about the secret.
    async fn siteverify(body: String) -> String {
        let mut form = url::form_urlencoded::parse(body.as_bytes());
        let mut field = |name: &str| form.find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        match (
            field("secret").as_deref(),
            field("response").as_deref(),
            field("remoteip").as_deref(),
        ) {
            (Some("s&cret"), Some("good"), Some("192.0.2.1")) => {
                r#"{"success":true,"hostname":"x"}"#.to_owned()
            }
            (Some("s&cret"), Some("odd"), _) => "<html>".to_owned(),
            (Some("s&cret"), ..) => {
                r#"{"success":false,"error-codes":["invalid-input-response","x"]}"#.to_owned()
            }
            _ => r#"{"success":false,"error-codes":["invalid-input-secret"]}"#.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_about_and_no_answer_is_no_proof() {
        let tasks = Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/v", post(siteverify));
        let server = tasks.spawn("server", async move { axum::serve(listener, router).await });
        let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
        let uri = format!("http://{address}/v").parse().expect("a uri");
        let provider = Provider::Compatible(uri);
        let captcha = Captcha::new(provider.clone(), &Secret::new(" s&cret\n"), client.clone());
        assert_eq!(captcha.verify("good", "192.0.2.1").await, Ok(()));
        assert_eq!(
            captcha.verify(" ", "192.0.2.1").await,
            Err(CaptchaError::Missing)
        );
        let bad = captcha.verify("bad", "192.0.2.1").await;
        assert_eq!(
            bad,
            Err(CaptchaError::Disallowed(
                "invalid-input-response, x".to_owned()
            ))
        );
        let odd = captcha.verify("odd", "192.0.2.1").await;
        assert_eq!(odd, Err(CaptchaError::Unreachable));
        let prove = async |token: &str| captcha.prove(&Secret::new(token), "192.0.2.1").await;
        assert!(matches!(prove("good").await, Ok(Ok(()))));
        assert!(matches!(prove("bad").await, Ok(Err(codes)) if codes.ends_with(", x")));
        assert!(prove("odd").await.is_err());
        let wrong = Captcha::new(provider, &Secret::new("other"), client);
        let wrong = wrong.verify("good", "192.0.2.1").await;
        assert_eq!(
            wrong,
            Err(CaptchaError::Disallowed("invalid-input-secret".to_owned()))
        );
        server.abort();
        // `aborted` once it is gone: nobody listens any more.
        let _ = server.await;
        let gone = captcha.verify("bad", "192.0.2.1").await;
        assert_eq!(gone, Err(CaptchaError::Unreachable));
    }
}
