//! Which name stands for which page.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use http::header::HOST;
use http::uri::Authority;

use super::pass::{self, Passes};
use crate::config::PreviewDomain;

/// Names of sandboxes are 34 characters; what is much longer is none.
const ID_CHARS_MAX: usize = 60;

/// Makes the addresses of pages, and knows them again.
pub struct Links {
    domain: PreviewDomain,
    api_port: u16,
    passes: Arc<Passes>,
}

/// Whom a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    Of {
        id: String,
        port: u16,
    },
    /// It lies where pages are, and is none.
    Nobodys,
}

impl Links {
    pub(super) fn new(domain: PreviewDomain, api_port: u16, passes: Arc<Passes>) -> Self {
        Self {
            domain,
            api_port,
            passes,
        }
    }

    pub(super) fn passes(&self) -> &Arc<Passes> {
        &self.passes
    }

    /// The address of a page; with the right to see a private one.
    #[must_use]
    pub fn url(&self, id: &str, port: u16, private: bool) -> String {
        let PreviewDomain { scheme, name, .. } = &self.domain;
        let at = self
            .domain
            .port
            .or(self.domain.local.then_some(self.api_port));
        let at = at.map_or(String::new(), |at| format!(":{at}"));
        let url = format!("{scheme}://{port}-{id}.{name}{at}/");
        if private {
            let pass = self.passes.pass(id);
            return format!("{url}?{}={pass}", pass::NAME);
        }
        url
    }

    /// The name below which pages are, with its port, for clients that put
    /// addresses together themselves.
    #[must_use]
    pub fn domain(&self) -> String {
        let at = self
            .domain
            .port
            .or(self.domain.local.then_some(self.api_port));
        match at {
            Some(at) => format!("{}:{at}", self.domain.name),
            None => self.domain.name.clone(),
        }
    }

    /// The page that a request is for.
    pub(super) fn page_of(&self, request: &Request<Body>) -> Option<Page> {
        // Whoever names a host in the address means that one.
        let host = if let Some(authority) = request.uri().authority() {
            authority.host().to_owned()
        } else {
            let value = request.headers().get(HOST)?.to_str().ok()?;
            let authority: Authority = value.trim().parse().ok()?;
            authority.host().to_owned()
        };
        self.page(&host)
    }

    fn page(&self, host: &str) -> Option<Page> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // Pages are below `localhost` whatever the domain is: only programs on
        // this machine come by that name.
        if let Some(label) = host.strip_suffix(".localhost")
            && let Some(page) = of_label(label)
        {
            return Some(page);
        }
        let label = host.strip_suffix(self.domain.name.as_str())?;
        let label = label.strip_suffix('.')?;
        match of_label(label) {
            Some(page) => Some(page),
            // Names below `localhost` are free otherwise; a domain is all ours.
            None if self.domain.local => None,
            None => Some(Page::Nobodys),
        }
    }
}

/// `5173-sb0123…`.
fn of_label(label: &str) -> Option<Page> {
    let (port, id) = label.split_once('-')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fits = !id.is_empty()
        && id.len() <= ID_CHARS_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let port = port.parse().ok().filter(|port| *port > 0);
    Some(match (port, fits) {
        (Some(port), true) => Page::Of {
            id: id.to_owned(),
            port,
        },
        _ => Page::Nobodys,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use kernel::{Clock, Secret};

    fn links(name: &str) -> Links {
        let local = name == "localhost";
        let domain = PreviewDomain {
            scheme: if local { "http" } else { "https" },
            name: name.to_owned(),
            port: None,
            local,
        };
        let passes = Passes::new(
            &Secret::new("a secret of thirty-two characters"),
            Clock::system(),
        );
        Links::new(domain, 54321, Arc::new(passes))
    }

    #[test]
    fn a_name_is_a_page_or_not() {
        let of = |id: &str, port| {
            Some(Page::Of {
                id: id.to_owned(),
                port,
            })
        };
        let local = links("localhost");
        assert_eq!(local.page("5173-sb1.localhost"), of("sb1", 5173));
        assert_eq!(local.page("5173-SB1.LocalHost."), of("sb1", 5173));
        for api in [
            "localhost",
            "127.0.0.1",
            "app.localhost",
            "5173-sb1.example.net",
            "x5-sb1.localhost",
        ] {
            assert_eq!(local.page(api), None, "{api}");
        }
        for none in [
            "0-sb1.localhost",
            "99999-sb1.localhost",
            "1-.localhost",
            "1-a.b.localhost",
        ] {
            assert_eq!(local.page(none), Some(Page::Nobodys), "{none}");
        }
        let named = links("preview.example.net");
        assert_eq!(named.page("80-x.preview.example.net"), of("x", 80));
        assert_eq!(named.page("80-x.localhost"), of("x", 80));
        assert_eq!(named.page("api.preview.example.net"), Some(Page::Nobodys));
        for api in [
            "preview.example.net",
            "example.net",
            "80-x.evilpreview.example.net",
        ] {
            assert_eq!(named.page(api), None, "{api}");
        }
    }

    #[test]
    fn addresses_lead_back() {
        for name in ["localhost", "p.example.net"] {
            let links = links(name);
            let url: http::Uri = links.url("sb1", 5173, false).parse().unwrap();
            let found = links.page(url.host().unwrap());
            assert_eq!(
                found,
                Some(Page::Of {
                    id: "sb1".to_owned(),
                    port: 5173
                })
            );
            assert!(links.url("sb1", 1, true).contains('?'));
        }
        assert_eq!(links("localhost").domain(), "localhost:54321");
    }
}
