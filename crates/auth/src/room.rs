//! The room: its parts, put together.

use std::sync::Arc;

use kernel::{Clock, Rng, Secret};
use pg::Pool;

use crate::config::Config;
use crate::error::{AuthError, Result, code};
use crate::hook::Hooks;
use crate::limits::Limits;
use crate::oidc::provider::Providers;
use crate::password::{Breached, Passwords};
use crate::ports::{Humans, Messenger, Outbox, Signer};
use crate::request::Call;
use crate::store::Store;
use outbound::Client;

/// The auth room.
pub struct Auth {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) limits: Limits,
    pub(crate) passwords: Passwords,
    pub(crate) providers: Providers,
    pub(crate) parts: Parts,
}

/// What the room is given.
pub struct Parts {
    /// The project's keys.
    pub signer: Arc<dyn Signer>,
    /// Where mails go.
    pub outbox: Arc<dyn Outbox>,
    /// Threads that hash.
    pub passwords: Passwords,
    /// Speaks to providers, at the addresses that the settings name.
    pub outside: Client,
    /// The project's own functions and services; they may be none.
    pub hooks: Hooks,
    /// Messages to phones. It refuses when nobody sends any.
    pub messenger: Arc<dyn Messenger>,
    /// Leaked passwords; none when they are not looked up.
    pub breached: Option<Arc<dyn Breached>>,
    /// Proof of being human; none when it is not asked for.
    pub humans: Option<Arc<dyn Humans>>,
}

impl Auth {
    /// A room on a pool whose login is, or may become, the role that the
    /// settings name.
    #[must_use]
    pub fn new(config: Config, pool: Pool, parts: Parts, clock: Clock, rng: Rng) -> Arc<Self> {
        let store = Store::new(pool, &config.database_role, clock.clone(), rng.clone());
        Arc::new(Self {
            limits: Limits::new(config.limits, clock.clone()),
            passwords: parts.passwords.clone(),
            providers: Providers::new(&config, &parts.outside, &clock),
            config,
            store,
            clock,
            rng,
            parts,
        })
    }

    /// Refuses requests without a proof of being human, where one is asked.
    /// Secret keys need none.
    pub(crate) async fn require_human(&self, call: &Call) -> Result<()> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Body {
            gotrue_meta_security: Security,
        }
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Security {
            captcha_token: String,
        }
        if self.config.captcha.is_none() || call.is_admin(self) {
            return Ok(());
        }
        // Whoever forgot to hand over a service has not switched it off.
        let Some(humans) = &self.parts.humans else {
            return Err(AuthError::Internal("captcha verification process failed"));
        };
        let body: Body = call.json().unwrap_or_default();
        let token = body.gotrue_meta_security.captcha_token.trim().to_owned();
        let refused = |why: &str| {
            let message = format!("captcha protection: request disallowed ({why})");
            AuthError::bad_request(code::CAPTCHA_FAILED, message)
        };
        if token.is_empty() {
            return Err(refused("no captcha_token found"));
        }
        let address = call.address_text();
        let proof = humans.prove(&Secret::new(token), &address).await?;
        proof.map_err(|why| refused(&why))
    }

    /// One line for what went wrong inside; the client hears less.
    pub(crate) fn note(error: &AuthError) {
        match error {
            AuthError::Database { context, source } => {
                tracing::error!(error = %source, "{context}");
            }
            AuthError::Internal(what) => tracing::error!("{what}"),
            _ => {}
        }
    }
}
