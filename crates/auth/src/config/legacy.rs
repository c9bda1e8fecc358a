//! `[auth.legacy]`: the system that people come from.

use kernel::Secret;

use super::ConfigError;
use super::raw::{Raw, wrong};

/// Who is asked for a password of an address that nobody here has.
#[derive(Clone, Debug)]
pub enum Legacy {
    /// A service of the project's own.
    Hook {
        /// Its address.
        url: String,
        /// What it is shown as a bearer token.
        secret: Option<Secret>,
    },
    /// A user pool of Cognito.
    Cognito {
        /// Its region's address.
        url: String,
        /// A client of the pool without a secret.
        client_id: String,
    },
}

impl Legacy {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Option<Self>, ConfigError> {
        let text = |key: &str| {
            let variable = format!("LEGACY_{}", key.to_ascii_uppercase());
            raw.text(&format!("legacy.{key}"), &variable)
        };
        if !raw.flag("legacy.enabled", "LEGACY_ENABLED", true)? {
            return Ok(None);
        }
        match (text("hook_url"), text("cognito_client_id")) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(wrong("legacy", "a hook_url or a cognito_client_id")),
            (Some(url), None) if url.starts_with("http") => Ok(Some(Self::Hook {
                url,
                secret: text("hook_secret").map(Secret::new),
            })),
            (Some(_), None) => Err(wrong("legacy.hook_url", "an address")),
            (None, Some(client_id)) => {
                let region = text("cognito_region");
                let usual = region.map(|it| format!("https://cognito-idp.{it}.amazonaws.com/"));
                let url = text("cognito_url").or(usual);
                let url = url.ok_or_else(|| wrong("legacy.cognito_region", "a region"))?;
                Ok(Some(Self::Cognito { url, client_id }))
            }
        }
    }
}
