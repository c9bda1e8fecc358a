//! Endpoints of upstream that stay closed here, answered as it answers where
//! they are switched off.

use crate::error::{AuthError, code};
use crate::request::Admin;

pub(crate) async fn saml() -> AuthError {
    AuthError::not_found(code::SAML_PROVIDER_DISABLED, "SAML 2.0 is disabled")
}

/// The operator learns that there are none.
pub(crate) async fn sso_providers(_: Admin) -> AuthError {
    AuthError::not_found(
        code::SSO_PROVIDER_NOT_FOUND,
        "SSO providers are not available",
    )
}
