//! Being an OAuth server: clients, what they asked for, what users granted.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::moment;
use crate::request::nullable;

/// What may be asked for.
pub(crate) const SCOPES: [&str; 5] = ["openid", "profile", "email", "phone", "offline_access"];

/// The names in a list with spaces between them.
pub(crate) fn scope_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|scope| !scope.is_empty())
}

pub(crate) fn has_scope(text: &str, wanted: &str) -> bool {
    scope_list(text).any(|scope| scope == wanted)
}

/// How a client shows at the token endpoint that it is itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// It cannot: it has no secret that it could keep.
    None,
    Basic,
    Post,
}

impl ClientAuth {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Basic, Self::Post];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// The kind of client that authenticates so.
    pub(crate) fn client_type(self) -> &'static str {
        if self == Self::None {
            "public"
        } else {
            "confidential"
        }
    }
}

/// A registered client.
#[expect(
    clippy::struct_field_names,
    reason = "fields are called as columns are"
)]
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) client_secret_hash: String,
    pub(crate) registration_type: String,
    /// Addresses with commas between them, as GoTrue keeps them.
    redirect_uris: String,
    grant_types: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) client_name: String,
    #[serde(default, deserialize_with = "nullable")]
    client_uri: String,
    #[serde(default, deserialize_with = "nullable")]
    logo_uri: String,
    client_type: String,
    token_endpoint_auth_method: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    updated_at: Option<Timestamp>,
}

impl Client {
    pub(crate) fn is_confidential(&self) -> bool {
        self.client_type == "confidential"
    }

    /// The way it registered; nothing else is taken for it.
    pub(crate) fn auth_method(&self) -> &str {
        &self.token_endpoint_auth_method
    }

    pub(crate) fn redirect_uris(&self) -> impl Iterator<Item = &str> {
        self.redirect_uris.split(',').filter(|uri| !uri.is_empty())
    }

    pub(crate) fn may(&self, grant: &str) -> bool {
        self.grant_types
            .split(',')
            .any(|known| known.trim() == grant)
    }

    /// The client as its owner sees it: never with its secret.
    pub(crate) fn document(&self) -> Value {
        let grants = self.grant_types.split(',').filter(|name| !name.is_empty());
        let mut body = json!({
            "client_id": self.id.to_string(),
            "client_type": self.client_type,
            "redirect_uris": self.redirect_uris().collect::<Vec<_>>(),
            "token_endpoint_auth_method": self.token_endpoint_auth_method,
            "grant_types": grants.collect::<Vec<_>>(),
            "response_types": ["code"],
            "registration_type": self.registration_type,
            "created_at": self.created_at.map(|at| at.to_string()),
            "updated_at": self.updated_at.map(|at| at.to_string()),
        });
        let named = [
            ("client_name", &self.client_name),
            ("client_uri", &self.client_uri),
            ("logo_uri", &self.logo_uri),
        ];
        fill(&mut body, named);
        body
    }

    /// What a user is shown of it.
    pub(crate) fn shown(&self) -> Value {
        let mut body = json!({"id": self.id.to_string()});
        let named = [
            ("name", &self.client_name),
            ("uri", &self.client_uri),
            ("logo_uri", &self.logo_uri),
        ];
        fill(&mut body, named);
        body
    }
}

fn fill(body: &mut Value, named: [(&str, &String); 3]) {
    let Some(body) = body.as_object_mut() else {
        return;
    };
    for (name, text) in named.into_iter().filter(|(_, text)| !text.is_empty()) {
        body.insert(name.to_owned(), text.as_str().into());
    }
}

/// What a client asked for, until its code has been exchanged.
#[expect(
    clippy::struct_field_names,
    reason = "fields are called as columns are"
)]
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Authorization {
    /// Also the id of the session that its code wins, so that a code that
    /// comes twice is known to have won it.
    pub(crate) id: Uuid,
    pub(crate) authorization_id: String,
    pub(crate) client_id: Uuid,
    #[serde(default)]
    pub(crate) user_id: Option<Uuid>,
    pub(crate) redirect_uri: String,
    pub(crate) scope: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) resource: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) code_challenge: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) nonce: String,
    pub(crate) status: String,
    #[serde(default, deserialize_with = "moment")]
    expires_at: Option<Timestamp>,
}

impl Authorization {
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now > end)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.status == "pending"
    }
}

/// What a user granted to a client.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Grant {
    pub(crate) scopes: String,
    #[serde(default, deserialize_with = "moment")]
    pub(crate) granted_at: Option<Timestamp>,
    pub(crate) client: Client,
}

impl Grant {
    pub(crate) fn document(&self) -> Value {
        json!({
            "client": self.client.shown(),
            "scopes": scope_list(&self.scopes).collect::<Vec<_>>(),
            "granted_at": self.granted_at.map(|at| at.to_string()),
        })
    }
}
