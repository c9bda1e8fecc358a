//! The auth room: its settings, keys, threads, mails and connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth::AuthError;
use auth::mail::{Custom, Library, Mailer, Sender, SenderConfig, Sink, Smtp, SmtpConfig, SmtpTls};
use auth::outbound::{Client, Reach};
use auth::password::{Passwords, PoolConfig as ThreadsConfig};
use auth::ports;
use kernel::{Secret, Tasks};
use pg::Pool;
use serde_json::Value;

use crate::app::{Context, StartError};
use crate::config::{Config, ConfigError};
use crate::gateway::Issuers;
use crate::keys::Signer;

/// The keys, as the room asks for them.
struct Keys(Signer);

impl ports::Signer for Keys {
    fn sign(&self, claims: &Value) -> Result<Secret, AuthError> {
        self.0
            .sign(claims)
            .map_err(|_| AuthError::Internal("error generating jwt token"))
    }

    fn is_asymmetric(&self) -> bool {
        self.0.is_asymmetric()
    }

    fn jwks(&self) -> String {
        self.0.jwks().to_owned()
    }
}

/// What the room is made of beside settings.
pub(crate) struct Given<'a> {
    /// Its own connections.
    pub(crate) pool: Pool,
    /// Who signs.
    pub(crate) signer: Signer,
    /// Where clients reach us, without a path.
    pub(crate) url: &'a str,
    /// What mails go on in.
    pub(crate) tasks: &'a Tasks,
}

/// Where the room is mounted.
pub(crate) const PREFIX: &str = "/auth/v1";
/// Who it is in the database.
const ROLE: &str = "supabase_auth_admin";

/// Builds the room and starts what sends its mails.
pub(crate) fn room(
    config: &Config,
    given: Given<'_>,
    context: &Context,
) -> Result<Arc<auth::Auth>, StartError> {
    let source = &config.auth.source;
    let env = |name: &str| {
        let found = source.env.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let external = format!("{}{PREFIX}", given.url);
    let settings =
        auth::Config::read(&source.section, &external, &env).map_err(|error| refused(&error))?;
    let mailer = mailer(&settings, source.folder.as_deref(), context)?;
    if let Some(smtp) = &settings.mail.smtp {
        let smtp = SmtpConfig {
            host: smtp.host.clone(),
            port: smtp.port,
            login: smtp.user.clone().zip(smtp.pass.clone()),
            admin_email: smtp.admin_email.clone(),
            sender_name: smtp.sender_name.clone().unwrap_or_default(),
            tls: SmtpTls::Auto,
            root_pem: None,
        };
        let smtp = Smtp::new(&smtp).map_err(|error| invalid("email.smtp", &error))?;
        let rng = context.rng.clone();
        let sender = Sender::new(
            &mailer,
            smtp,
            given.pool.clone(),
            ROLE,
            rng,
            SenderConfig::default(),
        );
        sender.start(given.tasks);
    }
    let passwords = Passwords::start(ThreadsConfig::default(), context.rng.clone());
    // The addresses of providers are the operator's own.
    let outside = Client::new(Reach::Configured, &[], given.tasks)
        .map_err(|error| invalid("external", &error))?;
    let parts = auth::Parts {
        signer: Arc::new(Keys(given.signer)),
        outbox: Arc::new(mailer),
        passwords: passwords.map_err(StartError::Threads)?,
        outside,
        messenger: None,
        humans: None,
    };
    let (clock, rng) = (context.clock.clone(), context.rng.clone());
    Ok(auth::Auth::new(settings, given.pool, parts, clock, rng))
}

/// Whose tokens the gateway believes beside our own.
pub(crate) fn issuers(
    config: &Config,
    context: &Context,
    tasks: &Tasks,
) -> Result<Issuers, StartError> {
    let section = config.auth.source.section.get("third_party");
    let outside = Client::new(Reach::Configured, &[], tasks)
        .map_err(|error| invalid("third_party", &error))?;
    Issuers::read(section, &outside, &context.clock)
        .map_err(|error| invalid(&format!("third_party.{}", error.name), &error.expected))
}

fn mailer(
    settings: &auth::Config,
    folder: Option<&Path>,
    context: &Context,
) -> Result<Mailer, StartError> {
    let custom: BTreeMap<String, Custom> = settings
        .mail
        .templates
        .iter()
        .map(|(name, template)| {
            let custom = Custom {
                subject: template.subject.clone(),
                content: template.content.clone(),
                content_path: template.content_path.as_ref().map(PathBuf::from),
            };
            (name.clone(), custom)
        })
        .collect();
    let folder = folder.unwrap_or(Path::new(""));
    let library =
        Library::load(folder, &custom).map_err(|error| invalid("email.template", &error))?;
    let sink = if settings.mail.smtp.is_some() {
        Sink::Smtp
    } else {
        Sink::Inbox {
            from_name: "Admin".to_owned(),
            from: "admin@email.com".to_owned(),
        }
    };
    Ok(Mailer::new(Arc::new(library), sink, context.rng.clone()))
}

fn refused(error: &auth::config::ConfigError) -> StartError {
    StartError::Config(ConfigError::Invalid {
        path: format!("auth.{}", error.path),
        origin: None,
        reason: format!("expected {}", error.expected),
    })
}

fn invalid(path: &str, error: &dyn std::fmt::Display) -> StartError {
    StartError::Config(ConfigError::Invalid {
        path: format!("auth.{path}"),
        origin: None,
        reason: error.to_string(),
    })
}
