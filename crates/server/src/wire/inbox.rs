//! The built-in inbox at a port of its own, on this machine only.
//!
//! Another program may have the port, most often a second project: then a free
//! one is taken and the developer is told, since a backend without its inbox
//! is worth more than none, and an inbox elsewhere more than no inbox.

use std::net::{Ipv4Addr, SocketAddr};

use auth::inbox::{Inbox, InboxConfig};
use kernel::Tasks;
use pg::Pool;
use tokio::net::TcpListener;

use crate::config;

/// Where mails can be seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// As a browser asks for it; none when it is not served.
    pub(crate) url: Option<String>,
    /// What a developer should know about it.
    pub(crate) warning: Option<String>,
}

/// Opens the port and serves until `tasks` stops.
pub(crate) async fn serve(
    config: config::InboxConfig,
    pool: Pool,
    role: &str,
    tasks: &Tasks,
) -> Shown {
    if !config.enabled {
        return Shown::default();
    }
    let (listener, warning) = match bind(config.port).await {
        Ok(listener) => (listener, None),
        Err(error) => match bind(0).await {
            Ok(listener) => (listener, Some(error)),
            Err(error) => {
                let warning = format!("Mails cannot be shown: {error}");
                return Shown {
                    warning: Some(warning),
                    ..Shown::default()
                };
            }
        },
    };
    let url = match listener.local_addr() {
        Ok(address) => format!("http://127.0.0.1:{}", address.port()),
        Err(_) => return Shown::default(),
    };
    let warning = warning.map(|error| {
        let port = config.port;
        format!("Port {port} is not free for the inbox ({error}); mails are shown at {url}")
    });
    let inbox = InboxConfig {
        role: role.to_owned(),
        open: false,
    };
    let router = Inbox::new(pool, &inbox).router();
    let stop = tasks.token();
    tasks.spawn("inbox", async move {
        let serving = axum::serve(listener, router);
        // Nobody's work is lost when a page is cut.
        tokio::select! {
            _ = serving => {}
            () = stop.cancelled() => {}
        }
    });
    Shown {
        url: Some(url),
        warning,
    }
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}
