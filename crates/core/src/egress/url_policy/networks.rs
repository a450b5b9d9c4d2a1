//! Networks that are not public, each with the words for a user.
//!
//! They are the deny-list of the URL policy. It errs on the side of denial: of IPv6, only known public networks pass.
//! Addresses must be in canonical form, so that no IPv4 address hides in an IPv6 one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Checks that an address in canonical form is public; the error says what it is instead.
pub(super) fn check_public(ip: IpAddr) -> Result<(), &'static str> {
    match ip {
        IpAddr::V4(ip) => find_reason(&DENIED_V4, |network| network.contains(&ip)),
        IpAddr::V6(ip) if GLOBAL_V6.contains(&ip) => {
            find_reason(&DENIED_V6, |network| network.contains(&ip))
        }
        IpAddr::V6(ip) => {
            find_reason(&NAMED_V6, |network| network.contains(&ip)).and(Err("not a public address"))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// The IANA IPv4 special-purpose registry, multicast, and one cloud's metadata service on a public address.
const DENIED_V4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "this machine itself"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "a carrier's private address"),
    (v4(127, 0, 0, 0, 8), "this machine itself"),
    (v4(168, 63, 129, 16, 32), "a link-local or metadata address"),
    (v4(169, 254, 0, 0, 16), "a link-local or metadata address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "a reserved address"),
    (v4(192, 0, 2, 0, 24), "a documentation address"),
    (v4(192, 88, 99, 0, 24), "a relay address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(198, 18, 0, 0, 15), "a benchmark address"),
    (v4(198, 51, 100, 0, 24), "a documentation address"),
    (v4(203, 0, 113, 0, 24), "a documentation address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

/// Contains all public IPv6 addresses.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Networks in 2000::/3 that are not public, mainly because their addresses contain IPv4 addresses.
const DENIED_V6: [(Ipv6Net, &str); 4] = [
    (v6(0x2001, 0, 0, 23), "a tunnel or protocol address"),
    (v6(0x2001, 0xdb8, 0, 32), "a documentation address"),
    (v6(0x2002, 0, 0, 16), "a tunnel or protocol address"),
    (v6(0x3fff, 0, 0, 20), "a documentation address"),
];

/// Better words for some networks outside 2000::/3, which are denied anyway.
const NAMED_V6: [(Ipv6Net, &str); 6] = [
    (v6(0, 0, 0, 96), "this machine itself"),
    (v6(0x64, 0xff9b, 0, 96), "a translated IPv4 address"),
    (v6(0x64, 0xff9b, 1, 48), "a translated IPv4 address"),
    (v6(0xfc00, 0, 0, 7), "a private address"),
    (v6(0xfe80, 0, 0, 10), "a link-local or metadata address"),
    (v6(0xff00, 0, 0, 8), "a multicast address"),
];

fn find_reason<N>(
    networks: &[(N, &'static str)],
    contains: impl Fn(&N) -> bool,
) -> Result<(), &'static str> {
    networks
        .iter()
        .find(|(network, _)| contains(network))
        .map_or(Ok(()), |(_, reason)| Err(reason))
}
