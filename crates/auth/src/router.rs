//! Which address is answered where: every endpoint is one line here and one
//! handler in `routes/`. The gateway has taken `/auth/v1` away before.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{delete, get, patch, post};

use crate::request::finish;
use crate::room::Auth;
use crate::routes::{
    admin_audit, admin_factors, admin_links, admin_users, callback, disabled, external, factors,
    identities, logout, oauth_clients, oauth_consent, oauth_page, oauth_token, otp, passkeys,
    signup, token, user, verify, well_known,
};

impl Auth {
    /// The room's whole public face.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .merge(public())
            .merge(signed_in())
            .merge(admin())
            .merge(second_factors())
            .merge(passkeys())
            .merge(oauth_server())
            .fallback(well_known::nothing)
            .method_not_allowed_fallback(well_known::no_such_method)
            .layer(from_fn(finish))
            .with_state(self)
    }
}

impl Auth {
    /// What is below `/.well-known/oauth-authorization-server` at the root of
    /// the host, where clients look that know the issuer alone (RFC 8414, 3.1).
    pub fn metadata_router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/{*issuer}", get(well_known::server_metadata_at))
            .fallback(well_known::nothing)
            .layer(from_fn(finish))
            .with_state(self)
    }
}

fn public() -> Router<Arc<Auth>> {
    Router::new()
        .route("/health", get(well_known::health))
        .route("/settings", get(well_known::settings))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route(
            "/.well-known/openid-configuration",
            get(well_known::discovery),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(well_known::server_metadata),
        )
        .route("/signup", post(signup::signup))
        .route("/token", post(token::token))
        .route("/otp", post(otp::otp))
        .route("/magiclink", post(otp::magic_link))
        .route("/recover", post(otp::recover))
        .route("/resend", post(otp::resend))
        // Whoever only looks at a link must not use it up.
        .route(
            "/verify",
            get(verify::get).head(verify::look).post(verify::post),
        )
        .route("/authorize", get(external::authorize))
        .route(
            "/callback",
            get(callback::callback).post(callback::callback),
        )
        .route("/sso", post(disabled::saml))
        .route("/sso/saml/metadata", get(disabled::saml))
        .route("/sso/saml/acs", post(disabled::saml))
}

fn signed_in() -> Router<Arc<Auth>> {
    Router::new()
        .route("/user", get(user::get).put(user::update))
        .route("/user/identities/authorize", get(external::link))
        .route("/user/identities/{id}", delete(identities::unlink))
        .route("/reauthenticate", get(user::reauthenticate))
        .route("/logout", post(logout::logout))
}

fn admin() -> Router<Arc<Auth>> {
    Router::new()
        .route("/invite", post(admin_links::invite))
        .route("/admin/generate_link", post(admin_links::generate))
        .route("/admin/audit", get(admin_audit::list))
        .route(
            "/admin/users",
            get(admin_users::list).post(admin_users::create),
        )
        .route(
            "/admin/users/{id}",
            get(admin_users::get)
                .put(admin_users::update)
                .delete(admin_users::delete),
        )
        .route("/admin/users/{id}/logout", post(admin_users::logout))
        .route(
            "/admin/sso/providers",
            get(disabled::sso_providers).post(disabled::sso_providers),
        )
}

fn second_factors() -> Router<Arc<Auth>> {
    Router::new()
        .route("/factors", post(factors::enroll))
        .route("/factors/{id}", delete(factors::unenroll))
        .route("/factors/{id}/challenge", post(factors::challenge))
        .route("/factors/{id}/verify", post(factors::verify))
        .route("/admin/users/{id}/factors", get(admin_factors::list))
        .route(
            "/admin/users/{id}/factors/{factor}",
            delete(admin_factors::delete).put(admin_factors::update),
        )
}

fn passkeys() -> Router<Arc<Auth>> {
    Router::new()
        .route("/passkeys", get(passkeys::list))
        .route(
            "/passkeys/{id}",
            patch(passkeys::rename).delete(passkeys::delete),
        )
        .route(
            "/passkeys/registration/options",
            post(passkeys::begin_registration),
        )
        .route("/passkeys/registration/verify", post(passkeys::register))
        .route(
            "/passkeys/authentication/options",
            post(passkeys::begin_authentication),
        )
        .route(
            "/passkeys/authentication/verify",
            post(passkeys::authenticate),
        )
        .route("/admin/users/{id}/passkeys", get(passkeys::admin_list))
        .route(
            "/admin/users/{id}/passkeys/{passkey}",
            delete(passkeys::admin_delete),
        )
}

fn oauth_server() -> Router<Arc<Auth>> {
    Router::new()
        .route("/oauth/clients/register", post(oauth_clients::register))
        .route("/oauth/authorize", get(oauth_consent::authorize))
        .route("/oauth/authorizations/{id}", get(oauth_consent::details))
        .route(
            "/oauth/authorizations/{id}/consent",
            post(oauth_consent::consent),
        )
        .route(
            "/oauth/consent",
            get(oauth_page::show).post(oauth_page::answer),
        )
        .route("/oauth/token", post(oauth_token::token))
        .route("/oauth/userinfo", get(oauth_token::userinfo))
        .route(
            "/user/oauth/grants",
            get(oauth_consent::grants).delete(oauth_consent::revoke),
        )
        .route(
            "/admin/oauth/clients",
            get(oauth_clients::list).post(oauth_clients::create),
        )
        .route(
            "/admin/oauth/clients/{id}",
            get(oauth_clients::get)
                .put(oauth_clients::update)
                .delete(oauth_clients::delete),
        )
        .route(
            "/admin/oauth/clients/{id}/regenerate_secret",
            post(oauth_clients::regenerate_secret),
        )
}
