//! Where a database is and as whom to enter it: the parsed form of a
//! connection string (libpq documentation, "Connection URIs").

use std::fmt;
use std::path::PathBuf;

use kernel::Secret;

/// A database to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server listens.
    pub host: Host,
    /// The port, which also names the socket file.
    pub port: u16,
    /// The login role.
    pub user: String,
    /// Its password, when it has one.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Settings for the session, sent when connecting.
    pub startup: Vec<(String, String)>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The folder of its Unix socket.
    Unix(PathBuf),
    /// A host name or address.
    Tcp(String),
}

/// `sslmode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `disable`: never. The default on sockets and loopback.
    Disable,
    /// `prefer` (and `allow`): when the server offers it; any certificate.
    Prefer,
    /// `require`: always; any certificate, as libpq does.
    Require,
    /// `verify-ca` and `verify-full`: always, with a certificate that a known
    /// authority issued for this host.
    VerifyFull,
}

/// A connection string that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not start with `postgres://` or `postgresql://`.
    #[error("a database URL starts with postgres:// or postgresql://")]
    Scheme,
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port")]
    Port(String),
    /// `sslmode` has an unknown value.
    #[error("{0:?} is not an sslmode (disable, prefer, require, verify-full)")]
    SslMode(String),
    /// A part is not valid percent-encoded UTF-8.
    #[error("the {0} is not valid percent-encoded UTF-8")]
    Encoding(&'static str),
    /// A parameter that we do not know and will not silently ignore.
    #[error("unknown connection parameter {0:?}")]
    Parameter(String),
}

impl Target {
    /// A database behind a private socket, entered without a password.
    #[must_use]
    pub fn socket(folder: impl Into<PathBuf>, port: u16, user: &str, database: &str) -> Self {
        Self {
            host: Host::Unix(folder.into()),
            port,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            tls: Tls::Disable,
            application_name: "ferrobase".to_owned(),
            startup: Vec::new(),
        }
    }

    /// Reads `postgres://user:password@host:port/database?sslmode=require`.
    /// A socket folder is given as `?host=/folder`.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or(TargetError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (login, address),
            None => ("", authority),
        };
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut target = Self::socket("", 5432, "postgres", "postgres");
        if !user.is_empty() {
            target.user = decode(user, "user")?;
        }
        if let Some(password) = password {
            target.password = Some(Secret::new(decode(password, "password")?));
        }
        target.set_address(address)?;
        if !database.is_empty() {
            target.database = decode(database, "database")?;
        }
        target.tls = match &target.host {
            Host::Tcp(host) if !is_loopback(host) => Tls::Prefer,
            _ => Tls::Disable,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            target.set_parameter(pair)?;
        }
        Ok(target)
    }

    /// A setting that every connection begins with.
    #[must_use]
    pub fn startup_setting(&self, name: &str) -> Option<&str> {
        let found = self.startup.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    fn set_address(&mut self, address: &str) -> Result<(), TargetError> {
        // An IPv6 address stands in brackets, so its colons are not a port's.
        let (host, port) = match address.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match address.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if let Some(port) = port {
            self.port = parse_port(port)?;
        }
        let host = decode(host, "host")?;
        self.host = if host.starts_with('/') {
            Host::Unix(host.into())
        } else if host.is_empty() {
            Host::Tcp("127.0.0.1".to_owned())
        } else {
            Host::Tcp(host)
        };
        Ok(())
    }

    fn set_parameter(&mut self, pair: &str) -> Result<(), TargetError> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value, "parameter")?;
        match key {
            "host" if value.starts_with('/') => {
                self.host = Host::Unix(value.into());
                self.tls = Tls::Disable;
            }
            "host" => self.host = Host::Tcp(value),
            "port" => self.port = parse_port(&value)?,
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "application_name" => self.application_name = value,
            "options" => self.startup.push(("options".to_owned(), value)),
            "sslmode" => {
                self.tls = match value.as_str() {
                    "disable" => Tls::Disable,
                    "allow" | "prefer" => Tls::Prefer,
                    "require" => Tls::Require,
                    "verify-ca" | "verify-full" => Tls::VerifyFull,
                    _ => return Err(TargetError::SslMode(value)),
                }
            }
            // Known to libpq, without meaning for us: the wait has its own limit.
            "connect_timeout"
            | "channel_binding"
            | "target_session_attrs"
            | "gssencmode"
            | "pgbouncer" => {}
            _ => return Err(TargetError::Parameter(key.to_owned())),
        }
        Ok(())
    }
}

/// The address without user and password, fit for messages.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Unix(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "::1"
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(TargetError::Port(text.to_owned())),
    }
}

fn decode(text: &str, what: &'static str) -> Result<String, TargetError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        match (hex(bytes.next()), hex(bytes.next())) {
            (Some(high), Some(low)) => out.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return Err(TargetError::Encoding(what)),
        }
    }
    String::from_utf8(out).map_err(|_| TargetError::Encoding(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_url_is_taken_apart() {
        let target =
            Target::parse("postgresql://a%40b:p%3Aw@db.example.com:6543/my%20db?sslmode=require")
                .expect("valid");
        assert_eq!(target.user, "a@b");
        assert_eq!(target.password, Some(Secret::new("p:w")));
        assert_eq!(target.host, Host::Tcp("db.example.com".into()));
        assert_eq!((target.port, target.database.as_str()), (6543, "my db"));
        assert_eq!(target.tls, Tls::Require);
        assert_eq!(target.to_string(), "db.example.com:6543");
    }

    #[test]
    fn sockets_loopback_and_ipv6() {
        let socket = Target::parse("postgres://me@/app?host=/run/pg&port=5433").expect("valid");
        assert_eq!(socket.host, Host::Unix("/run/pg".into()));
        assert_eq!(socket.tls, Tls::Disable);
        let v6 = Target::parse("postgres://me@[::1]:5433/app").expect("valid");
        assert_eq!((v6.host, v6.tls), (Host::Tcp("::1".into()), Tls::Disable));
        let remote = Target::parse("postgres://me@db/app").expect("valid");
        assert_eq!(remote.tls, Tls::Prefer);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |url| Target::parse(url).expect_err("invalid");
        assert_eq!(error("mysql://x"), TargetError::Scheme);
        assert_eq!(error("postgres://h:0/x"), TargetError::Port("0".into()));
        assert_eq!(
            error("postgres://h/x?sslmod=require"),
            TargetError::Parameter("sslmod".into())
        );
        assert_eq!(error("postgres://%zz@h/x"), TargetError::Encoding("user"));
    }
}
