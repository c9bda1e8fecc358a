//! Which addresses the proxy may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rules::Grant;

/// Whether `address` may be connected to for a name with this grant.
pub(super) fn allowed(address: IpAddr, grant: Grant) -> bool {
    let address = address.to_canonical();
    if never(address) {
        return false;
    }
    grant == Grant::Vouched || public(address)
}

/// Not even for the operator's own names: clouds keep credentials there.
fn never(address: IpAddr) -> bool {
    /// Metadata of one large cloud over IPv6, and of another by a plain
    /// private-looking address.
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    const METADATA_SHARED: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const METADATA_WIRE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4 == METADATA_SHARED
                || v4 == METADATA_WIRE
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6 == METADATA_V6
                || embedded(v6).is_some_and(|v4| never(IpAddr::V4(v4)))
        }
    }
}

/// Addresses that mean the same to everybody.
fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            let assigned = a == 192 && b == 0 && v4.octets().get(2) == Some(&0);
            !(v4.is_private()
                || v4.is_loopback()
                || a == 0
                || a >= 240
                || shared
                || benchmark
                || assigned)
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => public(IpAddr::V4(v4)),
            // Global unicast only.
            None => v6
                .segments()
                .first()
                .is_some_and(|first| first & 0xe000 == 0x2000),
        },
    }
}

/// The IPv4 address that a translator would make of this one.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // NAT64, IPv4-compatible, 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_loopback_and_metadata_addresses_are_refused() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.9.9",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "::7f00:1",
            "ff02::1",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert!(!allowed(address, Grant::Public), "{text}");
        }
        for text in [
            "1.1.1.1",
            "104.16.0.35",
            "2606:4700::6810:23",
            "64:ff9b::101:101",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert!(allowed(address, Grant::Public), "{text}");
        }
    }

    #[test]
    fn what_the_operator_vouches_for_may_be_private_but_never_metadata() {
        let allowed = |text: &str| allowed(text.parse().expect("an address"), Grant::Vouched);
        assert!(allowed("10.1.2.3") && allowed("127.0.0.1") && allowed("fd12::1"));
        assert!(!allowed("169.254.169.254") && !allowed("fd00:ec2::254"));
        assert!(!allowed("::ffff:169.254.169.254") && !allowed("100.100.100.200"));
    }
}
