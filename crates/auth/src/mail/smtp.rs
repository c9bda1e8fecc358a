//! Hands a mail to an SMTP server, by lettre.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use kernel::Secret;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncTransport as _, Message, Tokio1Executor};

/// One command and its answer. Relays that greylist are slow to answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// `[auth.email.smtp]`
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name and password, if it wants them.
    pub login: Option<(String, Secret)>,
    /// The sender's address.
    pub admin_email: String,
    /// The sender's name.
    pub sender_name: String,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// Certificates to trust beside the system's, as PEM.
    pub root_pem: Option<Vec<u8>>,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// By the port, as GoTrue: 465 from the start, others by STARTTLS. A server
    /// without it is only spoken to when no password would be sent in the
    /// clear, or when it is this machine.
    #[default]
    Auto,
    /// From the start.
    Implicit,
    /// By STARTTLS, or not at all.
    StartTls,
    /// Never.
    None,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The sender is no address.
    #[error("auth.email.smtp.admin_email is not an address")]
    Sender,
    /// TLS cannot be set up.
    #[error("TLS for the SMTP server: {0}")]
    Tls(lettre::transport::smtp::Error),
}

/// A mail as the queue has it.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) html: String,
    pub(crate) plain: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// Why a mail was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    /// The server will not change its mind.
    pub(super) permanent: bool,
    /// For the operator; the server's own words.
    pub(super) why: String,
}

/// A server that takes mails.
#[derive(Clone, Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// Checks the settings. Nothing is connected yet.
    pub fn new(config: &SmtpConfig) -> Result<Self, SmtpError> {
        let sender: Address = config.admin_email.parse().map_err(|_| SmtpError::Sender)?;
        let name = Some(config.sender_name.clone()).filter(|name| !name.is_empty());
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.as_str())
                .port(config.port)
                .timeout(Some(COMMAND_TIMEOUT))
                .tls(encryption(config).map_err(SmtpError::Tls)?);
        if let Some((user, password)) = &config.login {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self {
            transport: builder.build(),
            from: Mailbox::new(name, sender),
        })
    }

    /// Sends one mail over a connection of its own.
    pub(super) async fn send(&self, mail: &Outgoing) -> Result<(), Refused> {
        let message = compose(&self.from, mail).map_err(|why| Refused {
            permanent: true,
            why,
        })?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Refused {
                permanent: is_permanent(&error),
                why: error.to_string(),
            }),
        }
    }
}

/// The message as it travels. The built-in inbox shows it as it would have.
pub(crate) fn compose(from: &Mailbox, mail: &Outgoing) -> Result<Message, String> {
    let to: Address = mail.to.parse().map_err(|_| "not an address".to_owned())?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(mail.created);
    // The same for every attempt, so that a mail that comes twice is one.
    let id = format!("<{}@{}>", mail.id, from.email.domain());
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject.as_str())
        .date(date)
        .message_id(Some(id))
        // RFC 3834: nobody's holiday notice should answer.
        .raw_header(HeaderValue::new(auto, "auto-generated".to_owned()))
        .multipart(MultiPart::alternative_plain_html(
            mail.plain.clone(),
            mail.html.clone(),
        ))
        .map_err(|error| error.to_string())
}

fn encryption(config: &SmtpConfig) -> Result<Tls, lettre::transport::smtp::Error> {
    if config.tls == SmtpTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.root_pem {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem)?);
    }
    let parameters = parameters.build_rustls()?;
    Ok(match config.tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters),
        SmtpTls::Auto if config.port == 465 => Tls::Wrapper(parameters),
        SmtpTls::Auto if config.login.is_none() || is_here(&config.host) => {
            Tls::Opportunistic(parameters)
        }
        _ => Tls::Required(parameters),
    })
}

fn is_here(host: &str) -> bool {
    let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())
}

/// A refusal of this mail. A refused login is the operator's to mend, and the
/// mail waits for that.
fn is_permanent(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().map(u16::from);
    error.is_permanent() && !matches!(code, Some(530 | 534 | 535 | 538))
}
