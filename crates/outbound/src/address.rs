//! Which addresses may be spoken to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a client may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Where the operator points it: also this machine and private networks,
    /// where hooks often live. Not the link-local addresses at which clouds
    /// hand out credentials.
    Configured,
    /// The public internet only: for addresses that a user had a say in.
    Public,
}

impl Reach {
    /// Whether this address may be spoken to.
    #[must_use]
    pub fn allows(self, ip: IpAddr) -> bool {
        match (self, unwrapped(ip)) {
            (Self::Configured, ip) => !is_link_local(ip) && !is_nowhere(ip),
            (Self::Public, IpAddr::V4(ip)) => is_public_v4(ip),
            (Self::Public, IpAddr::V6(ip)) => is_public_v6(ip),
        }
    }
}

/// The IPv4 address that an IPv6 one stands for (mapped, NAT64, 6to4): a
/// gateway would go there.
fn unwrapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [w0, w1, w2, w3, w4, w5, w6, w7] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let bits = u32::from(high) << 16 | u32::from(low);
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    };
    match (w0, w1, w2, w3, w4, w5) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(w6, w7),
        // `::1` and `::` are themselves.
        (0, 0, 0, 0, 0, 0) if w6 != 0 => v4(w6, w7),
        (0x2002, ..) => v4(w1, w2),
        _ => ip,
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // `fd00:ec2::254` is a cloud's credentials as well.
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.segments().starts_with(&[0xfd00, 0xec2]),
    }
}

fn is_nowhere(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let relay = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || protocol
        || benchmark
        || relay)
}

/// What has been given to somebody is below `2000::/3`.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let given = (0x2000..0x4000).contains(&a);
    // Documentation, Teredo and ORCHID.
    let special = a == 0x2001 && (b == 0xdb8 || b < 0x200) || a == 0x3fff;
    given && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(reach: Reach, ip: &str) -> bool {
        reach.allows(ip.parse().expect("an address"))
    }

    #[test]
    fn what_users_name_stays_outside() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "2001::1",
        ] {
            assert!(!allowed(Reach::Public, inside), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            assert!(allowed(Reach::Public, outside), "{outside}");
        }
    }

    #[test]
    fn hooks_may_be_next_door_but_not_at_the_clouds_credentials() {
        for near in ["127.0.0.1", "10.1.2.3", "::1", "fc00::1", "1.1.1.1"] {
            assert!(allowed(Reach::Configured, near), "{near}");
        }
        for never in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "224.0.0.1",
        ] {
            assert!(!allowed(Reach::Configured, never), "{never}");
        }
    }
}
