//! The front door of sign-in: a server with people of its own, its mails, and
//! what its answers say. For the files that begin with `auth_`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const SITE: &str = "http://127.0.0.1:3000";
pub(crate) const CONFIRMED: &str = "[auth]\nsite_url = \"http://127.0.0.1:3000\"\n\
    [auth.email]\nenable_confirmations = true\nmax_frequency = \"1ms\"\n";

/// A server with people of its own.
pub(crate) struct Door {
    pub(crate) server: Ferrobase,
    _folder: tempfile::TempDir,
}

impl Door {
    pub(crate) fn with(config: &str) -> Self {
        Self::of(&[("supabase/config.toml", config)])
    }

    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folder = project(files);
        Self {
            server: Ferrobase::dev(folder.path()),
            _folder: folder,
        }
    }

    /// A request below `/auth/v1`, with more headers.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut headers = vec![
            ("apikey", self.server.anon_key()),
            ("content-type", "application/json"),
            ("x-supabase-api-version", "2024-01-01"),
        ];
        headers.extend(more);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/auth/v1{path}");
        request(
            self.server.address(),
            method,
            &path,
            &headers,
            body.as_bytes(),
        )
        .unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], body)
    }

    pub(crate) fn with_token(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask(method, path, &[("authorization", &bearer)], body)
    }

    pub(crate) fn user(&self, token: &str) -> Answer {
        self.with_token("GET", "/user", token, &Value::Null)
    }

    pub(crate) fn sign_up(&self, email: &str) -> Answer {
        self.post("/signup", &json!({"email": email, "password": PASSWORD}))
    }

    pub(crate) fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.post("/token?grant_type=password", &body)
    }

    pub(crate) fn refresh(&self, token: &str) -> Answer {
        let body = json!({"refresh_token": token});
        self.post("/token?grant_type=refresh_token", &body)
    }

    /// The newest mail to an address, from the inbox as Mailpit shows it.
    pub(crate) fn mail(&self, to: &str) -> Value {
        let inbox = self.server.field("mailpit_url").as_str().unwrap();
        let inbox = inbox.trim_start_matches("http://");
        let get = |path: &str| request(inbox, "GET", path, &[], b"").unwrap().json();
        let found = get(&format!("/api/v1/search?query=to:{to}"));
        let id = found["messages"][0]["ID"].as_str().unwrap().to_owned();
        get(&format!("/api/v1/message/{id}"))
    }

    /// The link of the newest mail to an address.
    pub(crate) fn link(&self, to: &str) -> String {
        let html = self.mail(to)["HTML"].as_str().unwrap().to_owned();
        let start = html.find("href=\"").unwrap() + 6;
        let link = html[start..].split('"').next().unwrap();
        link.replace("&amp;", "&")
    }

    /// The path of such a link below the room.
    pub(crate) fn path_of(&self, link: &str) -> String {
        let own = format!("{}/auth/v1", self.server.url());
        link.strip_prefix(&own)
            .unwrap_or_else(|| panic!("{link}"))
            .to_owned()
    }
}

pub(crate) fn refusal(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"].as_str().unwrap_or("-").to_owned();
    (answer.status, code)
}

pub(crate) fn text(answer: &Answer, name: &str) -> String {
    let body = answer.json();
    let found = body[name].as_str();
    found
        .unwrap_or_else(|| panic!("no {name}: {answer:?}"))
        .to_owned()
}

pub(crate) fn location(answer: &Answer) -> String {
    let line = answer
        .head
        .lines()
        .find(|line| line.starts_with("location: "));
    line.unwrap_or_else(|| panic!("{answer:?}"))[10..].to_owned()
}

/// Names of an answer's members, at every depth.
pub(crate) fn shape(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| {
                let below = shape(value)
                    .into_iter()
                    .map(move |rest| format!("{name}.{rest}"));
                std::iter::once(name.clone()).chain(below)
            })
            .collect(),
        _ => vec![],
    }
}

/// The claims of a token.
pub(crate) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}
