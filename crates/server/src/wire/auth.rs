//! The auth room: its settings, keys, threads, mails and connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth::AuthError;
use auth::captcha::{Captcha, Provider};
use auth::hook::Hooks;
use auth::mail::{Custom, Library, Mailer, Sender, SenderConfig, Sink, Smtp, SmtpConfig, SmtpTls};
use auth::password::{Breached, Passwords, PoolConfig as ThreadsConfig, Pwned};
use auth::ports;
use axum::Router;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use kernel::{Secret, Tasks};
use outbound::{Client, Reach};
use pg::{Pool, Session, Target};
use serde_json::Value;

use crate::app::{Context, StartError};
use crate::config::{Config, ConfigError, Mode};
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
pub(crate) const ROLE: &str = "supabase_auth_admin";

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
    if config.mode == Mode::Serve && !mailer.sends() && settings.hooks.send_email.is_none() {
        tracing::warn!(
            "Mails are kept in the database and not sent: auth.email.smtp names no server"
        );
    }
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
    let hooks = hooks(&settings, &given, context)?;
    let humans = humans(&settings, given.tasks)?;
    let breached = breached(&settings, given.tasks)?;
    let passwords = Passwords::start(ThreadsConfig::default(), context.rng.clone());
    // The addresses of providers are the operator's own.
    let outside = Client::new(Reach::Configured, &[], given.tasks)
        .map_err(|error| invalid("external", &error))?;
    let parts = auth::Parts {
        signer: Arc::new(Keys(given.signer)),
        outbox: Arc::new(mailer),
        passwords: passwords.map_err(StartError::Threads)?,
        outside,
        messenger: Arc::new(hooks.clone()),
        humans,
        breached,
        hooks,
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

/// Why the room cannot work with this login, if it cannot. The tables belong
/// to its role, and the role that requests enter with must not be able to
/// become it, so this is somebody else's decision.
pub(crate) async fn obstacle(target: &Target) -> Result<Option<String>, pg::Error> {
    let mut session = Session::connect(target).await?;
    // Closed right after: what is set here goes with it.
    let tried = session
        .script("SET ROLE supabase_auth_admin; SELECT FROM auth.users LIMIT 0")
        .await;
    session.close().await;
    match tried {
        Ok(_) => Ok(None),
        Err(error) => match error.sqlstate() {
            Some(state) => Ok(Some(format!(
                "Sign-in (/auth/v1) is switched off: {} cannot work as {ROLE} (SQLSTATE {state}); \
                 a superuser may say GRANT {ROLE} TO {}",
                target.user, target.user
            ))),
            None => Err(error),
        },
    }
}

/// What answers in the room's place.
pub(crate) fn switched_off() -> Router {
    let told = "Sign-in is switched off: the database does not allow it, see the server's log";
    let body = serde_json::json!({"code": 503, "error_code": "unexpected_failure", "msg": told});
    let body = body.to_string();
    Router::new().fallback(move || {
        let body = body.clone();
        async move {
            let kind = (CONTENT_TYPE, "application/json");
            (StatusCode::SERVICE_UNAVAILABLE, [kind], body)
        }
    })
}

/// Asks the project's functions and services. They often live next door, so
/// this machine and its networks may be reached.
fn hooks(
    settings: &auth::Config,
    given: &Given<'_>,
    context: &Context,
) -> Result<Hooks, StartError> {
    let client = client(Reach::Configured, given.tasks)?;
    let world = (context.clock.clone(), context.rng.clone());
    let by_point = settings.hooks.by_point();
    Hooks::new(&by_point, client, given.pool.clone(), ROLE, world)
        .map_err(|error| invalid(&format!("hook.{}", error.setting), &error.problem))
}

/// Who asks for proofs of being human, where the settings want them. A service
/// that cannot be asked stops the start: without it, everybody would pass or
/// nobody.
fn humans(
    settings: &auth::Config,
    tasks: &Tasks,
) -> Result<Option<Arc<dyn ports::Humans>>, StartError> {
    let Some(captcha) = &settings.captcha else {
        return Ok(None);
    };
    let provider = Provider::parse(&captcha.provider)
        .ok_or_else(|| invalid("captcha.provider", &"expected hcaptcha or turnstile"))?;
    let client = client(Reach::Public, tasks)?;
    let captcha = Captcha::new(provider, &captcha.secret, client);
    Ok(Some(Arc::new(captcha)))
}

fn breached(
    settings: &auth::Config,
    tasks: &Tasks,
) -> Result<Option<Arc<dyn Breached>>, StartError> {
    let Some(list) = &settings.breached else {
        return Ok(None);
    };
    Ok(Some(Arc::new(match &list.url {
        Some(url) => Pwned::at(url, client(Reach::Configured, tasks)?),
        None => Pwned::new(client(Reach::Public, tasks)?),
    })))
}

fn client(reach: Reach, tasks: &Tasks) -> Result<Client, StartError> {
    Client::new(reach, &[], tasks).map_err(|error| invalid("hook", &error))
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
