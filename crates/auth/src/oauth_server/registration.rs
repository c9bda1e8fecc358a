//! What somebody says about a client, checked (RFC 7591, 2).

use serde::Deserialize;

use super::address;
use crate::model::ClientAuth;
use crate::request::nullable;
use crate::store::{ClientChange, NewClient};

const ADDRESSES_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 1024;
const PAGE_CHARS_MAX: usize = 2048;
const GRANTS: [&str; 2] = ["authorization_code", "refresh_token"];

/// Why a client cannot be registered like this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Address(String),
    Other(String),
}

impl Wrong {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Address(text) | Self::Other(text) => text,
        }
    }
}

fn other<T>(text: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Other(text.into()))
}

/// A client that is to be registered. What else was sent is not for us.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Registration {
    #[serde(deserialize_with = "nullable")]
    redirect_uris: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    client_type: String,
    #[serde(deserialize_with = "nullable")]
    token_endpoint_auth_method: String,
    #[serde(deserialize_with = "nullable")]
    grant_types: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    client_name: String,
    #[serde(deserialize_with = "nullable")]
    client_uri: String,
    #[serde(deserialize_with = "nullable")]
    logo_uri: String,
}

impl Registration {
    /// The client, still without its secret.
    pub(crate) fn check(self, registration: &'static str) -> Result<NewClient, Wrong> {
        check_addresses(&self.redirect_uris)?;
        let grant_types = if self.grant_types.is_empty() {
            GRANTS.map(str::to_owned).to_vec()
        } else {
            check_grants(&self.grant_types)?;
            self.grant_types
        };
        check_name(&self.client_name)?;
        check_page("client_uri", &self.client_uri)?;
        check_page("logo_uri", &self.logo_uri)?;
        let auth = method(&self.client_type, &self.token_endpoint_auth_method)?;
        Ok(NewClient {
            secret_hash: None,
            registration,
            redirect_uris: self.redirect_uris,
            grant_types,
            name: self.client_name,
            uri: self.client_uri,
            logo: self.logo_uri,
            client_type: auth.client_type(),
            auth_method: auth.as_str(),
        })
    }
}

/// What is to change of a client.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Update {
    redirect_uris: Option<Vec<String>>,
    grant_types: Option<Vec<String>>,
    client_name: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

impl Update {
    /// The change for a client of this kind.
    pub(crate) fn check(self, client_is_confidential: bool) -> Result<ClientChange, Wrong> {
        let said = self.redirect_uris.is_some()
            || self.grant_types.is_some()
            || self.client_name.is_some()
            || self.client_uri.is_some()
            || self.logo_uri.is_some()
            || self.token_endpoint_auth_method.is_some();
        if !said {
            return other("No fields provided for update");
        }
        if let Some(addresses) = &self.redirect_uris {
            check_addresses(addresses)?;
        }
        if let Some(grants) = &self.grant_types {
            check_grants(grants)?;
        }
        check_name(self.client_name.as_deref().unwrap_or_default())?;
        check_page("client_uri", self.client_uri.as_deref().unwrap_or_default())?;
        check_page("logo_uri", self.logo_uri.as_deref().unwrap_or_default())?;
        if let Some(wanted) = &self.token_endpoint_auth_method {
            let confidential = known(wanted)? != ClientAuth::None;
            // One would have a secret that is never asked for, the other be
            // asked for one that it has not.
            if confidential != client_is_confidential {
                return other(format!(
                    "token_endpoint_auth_method '{wanted}' is not valid for this client's client_type"
                ));
            }
        }
        Ok(ClientChange {
            secret_hash: None,
            redirect_uris: self.redirect_uris,
            grant_types: self.grant_types,
            name: self.client_name,
            uri: self.client_uri,
            logo: self.logo_uri,
            auth_method: self.token_endpoint_auth_method,
        })
    }
}

fn check_addresses(addresses: &[String]) -> Result<(), Wrong> {
    let wrong = |text: &str| Err(Wrong::Address(text.to_owned()));
    if addresses.is_empty() {
        return wrong("redirect_uris is required");
    }
    if addresses.len() > ADDRESSES_MAX {
        return wrong("redirect_uris cannot exceed 10 items");
    }
    for address in addresses {
        address::check(address)
            .map_err(|why| Wrong::Address(format!("invalid redirect_uri '{address}': {why}")))?;
    }
    Ok(())
}

fn check_grants(grants: &[String]) -> Result<(), Wrong> {
    if grants.is_empty() {
        return other("grant_types cannot be empty");
    }
    if grants.iter().all(|grant| GRANTS.contains(&grant.as_str())) {
        return Ok(());
    }
    other("grant_types must only contain 'authorization_code' and/or 'refresh_token'")
}

fn check_name(name: &str) -> Result<(), Wrong> {
    if name.len() > NAME_CHARS_MAX {
        return other("client_name cannot exceed 1024 characters");
    }
    // Users decide by this name: nothing in it may hide or turn what follows.
    if name.chars().any(|c| c.is_control() || is_unseen(c)) {
        return other("client_name must not contain invisible characters");
    }
    Ok(())
}

/// Zero width, and what turns the direction of text.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn check_page(what: &str, address: &str) -> Result<(), Wrong> {
    if address.len() > PAGE_CHARS_MAX {
        return other(format!("{what} cannot exceed 2048 characters"));
    }
    if address.is_empty() || address::is_page(address) {
        return Ok(());
    }
    other(format!("{what} must be a valid URL"))
}

fn known(method: &str) -> Result<ClientAuth, Wrong> {
    ClientAuth::parse(method).map_or_else(
        || {
            let names = ClientAuth::ALL.map(ClientAuth::as_str).join(" ");
            other(format!(
                "token_endpoint_auth_method must be one of: [{names}]"
            ))
        },
        Ok,
    )
}

/// How the client authenticates, from what it said of its kind and its way.
fn method(client_type: &str, auth_method: &str) -> Result<ClientAuth, Wrong> {
    if !matches!(client_type, "" | "public" | "confidential") {
        return other("client_type must be 'public' or 'confidential'");
    }
    if auth_method.is_empty() {
        return Ok(match client_type {
            "public" => ClientAuth::None,
            _ => ClientAuth::Basic,
        });
    }
    let auth = known(auth_method)?;
    if client_type.is_empty() || client_type == auth.client_type() {
        return Ok(auth);
    }
    other(format!(
        "client_type '{client_type}' is inconsistent with token_endpoint_auth_method '{auth_method}' \
         (expected client_type '{}')",
        auth.client_type()
    ))
}
