//! Which hosts a sandbox may name.

use crate::{Egress, Network};

/// TLS: what a rule without a port means.
const HTTPS: u16 = 443;
/// Rules of one sandbox; more are ignored.
const RULES_MOST: usize = 256;

/// What a name that is on the list may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Public addresses.
    Public,
    /// Private ones too: the operator vouches for the name.
    Vouched,
}

#[derive(Clone, Debug)]
struct Rule {
    host: String,
    below: bool,
    port: u16,
    grant: Grant,
}

/// One sandbox's list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

/// Public package registries.
pub(crate) fn default_registries() -> Vec<String> {
    include_str!("registries.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

impl Rule {
    fn of(text: &str, grant: Grant) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, HTTPS),
        };
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (!host.is_empty()).then_some(Self {
            host,
            below,
            port,
            grant,
        })
    }

    fn fits(&self, host: &str, port: u16) -> bool {
        let named = if self.below {
            host.strip_suffix(&self.host)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        named && port == self.port
    }
}

impl Rules {
    /// The list for `network`.
    pub(crate) fn of(egress: &Egress, network: &Network) -> Self {
        let mut texts: Vec<(&String, Grant)> = Vec::new();
        if *network != Network::None {
            texts.extend(egress.mirrors.iter().map(|host| (host, Grant::Vouched)));
            texts.extend(egress.registries.iter().map(|host| (host, Grant::Public)));
        }
        if let Network::Allow(hosts) = network {
            texts.extend(hosts.iter().map(|host| (host, Grant::Public)));
        }
        let rules = texts
            .into_iter()
            .filter_map(|(text, grant)| Rule::of(text, grant));
        Self(rules.take(RULES_MOST).collect())
    }

    /// Whether this host may be named, and what it may resolve to.
    pub(crate) fn grant(&self, host: &str, port: u16) -> Option<Grant> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let rule = self.0.iter().find(|rule| rule.fits(&host, port))?;
        Some(rule.grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(network: &Network) -> Rules {
        let egress = Egress {
            registries: vec!["registry.example".into(), "*.cdn.example".into()],
            mirrors: vec!["mirror.internal:8081".into()],
            ..Egress::default()
        };
        Rules::of(&egress, network)
    }

    #[test]
    fn a_name_is_allowed_with_its_port_and_no_other() {
        let rules = rules(&Network::Allow(vec!["api.example".into()]));
        let public = Some(Grant::Public);
        assert_eq!(rules.grant("registry.example", 443), public);
        assert_eq!(rules.grant("Registry.Example.", 443), public);
        assert_eq!(rules.grant("registry.example", 80), None);
        assert_eq!(rules.grant("api.example", 443), public);
        assert_eq!(rules.grant("mirror.internal", 8081), Some(Grant::Vouched));
        assert_eq!(rules.grant("mirror.internal", 443), None);
    }

    #[test]
    fn a_star_means_names_below_and_nothing_that_only_ends_alike() {
        let rules = rules(&Network::Registries);
        assert_eq!(rules.grant("a.cdn.example", 443), Some(Grant::Public));
        assert_eq!(rules.grant("cdn.example", 443), None);
        assert_eq!(rules.grant("evilcdn.example", 443), None);
        assert_eq!(rules.grant(".cdn.example", 443), None);
        assert_eq!(rules.grant("api.example", 443), None);
    }
}
