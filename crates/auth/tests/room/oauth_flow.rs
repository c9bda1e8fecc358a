//! The OAuth flow in steps, as the tests of it take them.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::support::{Reply, Room, text};

/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CALLBACK: &str = "https://client.example/callback";

pub(crate) fn settings() -> Value {
    json!({
        "site_url": "https://app.example",
        "oauth_server": {
            "enabled": true,
            "allow_dynamic_registration": true,
            "authorization_url_path": "/oauth/consent",
        },
    })
}

pub(crate) async fn room() -> Room {
    Room::with_signer(settings(), true).await
}

/// The parameters of an address.
pub(crate) fn said(address: &str, name: &str) -> String {
    let url = Url::parse(address).expect("an address");
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Where a browser is sent, once it is sent somewhere.
pub(crate) fn target(reply: &Reply) -> String {
    assert!(reply.status.is_redirection(), "{}", reply.body);
    reply.headers["location"].to_str().unwrap().to_owned()
}

impl Room {
    /// A public client, as MCP clients are.
    pub(crate) async fn public_client(&self) -> String {
        let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Tool"});
        let reply = self.post("/oauth/clients/register", body).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        text(&reply.body, "/client_id").to_owned()
    }

    pub(crate) async fn authorize(&self, client: &str, more: &[(&str, &str)]) -> Reply {
        let mut all = vec![
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email"),
            ("state", "st&te"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in more {
            all.retain(|(known, _)| known != name);
            all.push((name, value));
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(all)
            .finish();
        self.get(&format!("/oauth/authorize?{query}")).await
    }

    /// The id of a request for consent.
    pub(crate) async fn asked(&self, client: &str, more: &[(&str, &str)]) -> String {
        said(
            &target(&self.authorize(client, more).await),
            "authorization_id",
        )
    }

    pub(crate) async fn look(&self, id: &str, token: &str) -> Reply {
        let path = format!("/oauth/authorizations/{id}");
        self.call("GET", &path, Some(token), Value::Null).await
    }

    pub(crate) async fn decide(&self, id: &str, token: &str, action: &str) -> Reply {
        let path = format!("/oauth/authorizations/{id}/consent");
        self.call("POST", &path, Some(token), json!({"action": action}))
            .await
    }

    /// A code that a user has consented to.
    pub(crate) async fn code(&self, client: &str, token: &str, more: &[(&str, &str)]) -> String {
        let id = self.asked(client, more).await;
        let seen = self.look(&id, token).await.ok();
        if let Some(to) = seen.get("redirect_url").and_then(Value::as_str) {
            return said(to, "code");
        }
        let answer = self.decide(&id, token, "approve").await.ok();
        said(text(&answer, "/redirect_url"), "code")
    }

    pub(crate) async fn form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn exchange(&self, client: &str, code: &str, more: &[(&str, &str)]) -> Reply {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in more {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        self.form("/oauth/token", &fields, &[]).await
    }

    pub(crate) async fn renew(&self, client: &str, token: &str) -> Reply {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", token),
        ];
        self.form("/oauth/token", &fields, &[]).await
    }

    pub(crate) async fn somebody(&self, email: &str) -> String {
        let body = self.sign_up(email).await.ok();
        text(&body, "/access_token").to_owned()
    }

    /// A user, a client and the tokens that one gave to the other.
    pub(crate) async fn granted(&self) -> (String, String, Value) {
        let user = self.somebody("ann@example.com").await;
        let client = self.public_client().await;
        let code = self.code(&client, &user, &[]).await;
        let tokens = self.exchange(&client, &code, &[]).await.ok();
        (user, client, tokens)
    }
}

impl Room {
    pub(crate) async fn call_from(
        &self,
        origin: &str,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
    ) -> Reply {
        let mut request = self.request(method, path, Some(token), &body);
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn call_as(&self, role: &str, method: &str, path: &str, token: &str) -> Reply {
        let mut request = self.request(method, path, None, &Value::Null);
        let bearer = format!("Bearer {token}");
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        let mut claims = crate::support::claims(token);
        claims["role"] = json!(role);
        let caller = kernel::Caller {
            role: role.into(),
            claims: claims.to_string().into(),
            authenticated: false,
            read_only: false,
        };
        request.extensions_mut().insert(caller);
        self.send(request).await
    }
}
