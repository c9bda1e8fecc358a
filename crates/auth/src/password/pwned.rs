//! Leaked passwords, as haveibeenpwned.com knows them. It is told the first
//! five characters of the password's SHA-1 and answers with all that begin so;
//! which one was meant stays here.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http::header::USER_AGENT;
use ring::digest;

use super::rules::Breached;
use outbound::{Budget, Client};

/// An answer has about a thousand lines of forty characters.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(5),
    body: 512 * 1024,
};

const SERVICE: &str = "https://api.pwnedpasswords.com";

/// Asks the service.
#[derive(Clone, Debug)]
pub struct Pwned {
    client: Client,
    service: String,
}

impl Pwned {
    /// The public service.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::at(SERVICE, client)
    }

    /// A copy of it, somewhere else.
    #[must_use]
    pub fn at(service: &str, client: Client) -> Self {
        let service = service.trim_end_matches('/').to_owned();
        Self { client, service }
    }

    async fn ask(&self, password: &str) -> Option<bool> {
        let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let mut hex = String::with_capacity(40);
        for byte in sum.as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02X}");
        }
        let (prefix, suffix) = hex.split_at_checked(5)?;
        let request = Request::get(format!("{}/range/{prefix}", self.service))
            .header(USER_AGENT, "ferrobase")
            // Padding hides from onlookers how long the answer is.
            .header("add-padding", "true")
            .body(Bytes::new())
            .ok()?;
        let answer = match self.client.call(request, BUDGET).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                tracing::warn!(status = %answer.status, "leaked passwords cannot be looked up");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "leaked passwords cannot be looked up");
                return None;
            }
        };
        let text = std::str::from_utf8(&answer.body).ok()?;
        Some(text.lines().any(|line| {
            let found = line.trim().split_once(':');
            // Padding has a count of zero.
            found.is_some_and(|(rest, count)| rest.eq_ignore_ascii_case(suffix) && count != "0")
        }))
    }
}

impl Breached for Pwned {
    fn is_known<'a>(&'a self, password: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(self.ask(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::Path;
    use axum::routing::get;
    use http::StatusCode;
    use kernel::Tasks;
    use outbound::Reach;

    /// SHA-1 of `password` is 5BAA6 1E4C9B93F3F0682250B6CF8331B7EE68FD8.
    async fn range(Path(prefix): Path<String>) -> (StatusCode, &'static str) {
        match prefix.as_str() {
            "5BAA6" => (
                StatusCode::OK,
                "0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n1E4C9B93F3F0682250B6CF8331B7EE68FD8:9545824\r\n",
            ),
            // `hello` is AAF4C 61DDCC5E8A2DABEDE0F3B482CD9AEA9434D; padding here.
            "AAF4C" => (StatusCode::OK, "61DDCC5E8A2DABEDE0F3B482CD9AEA9434D:0\r\n"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, ""),
        }
    }

    #[tokio::test]
    async fn only_the_beginning_of_a_hash_leaves_and_no_answer_is_no_verdict() {
        let tasks = Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/range/{prefix}", get(range));
        let stop = tasks.token();
        tasks.spawn("server", async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stop.cancelled() => {}
            }
        });
        let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
        let pwned = Pwned::at(&format!("http://{address}/"), client);
        assert_eq!(pwned.is_known("password").await, Some(true));
        assert_eq!(pwned.is_known("hello").await, Some(false));
        assert_eq!(pwned.is_known("something else").await, None);
        tasks.stop().await;
        assert_eq!(pwned.is_known("password").await, None);
    }
}
