//! Tests what must never be reached, in the spellings that attackers use.

use proptest::prelude::*;

use super::*;

fn policy(networks: &str, ports: &str) -> UrlPolicy {
    UrlPolicy::parse(false, networks, ports).unwrap()
}

#[test]
fn each_network_of_the_deny_list_is_denied_from_its_first_to_its_last_address() {
    let networks = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 \
        192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 \
        255.255.255.255/32 168.63.129.16/32 ::/128 ::1/128 ::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:db8::/32 \
        2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 ::ffff:127.0.0.0/104 ::ffff:10.0.0.0/104";
    for network in networks
        .split_whitespace()
        .map(|text| text.parse::<IpNet>().unwrap())
    {
        for ip in [network.network(), network.broadcast()] {
            assert!(
                UrlPolicy::default().check_ip(ip).is_err(),
                "{ip} of {network}"
            );
        }
    }
}

#[test]
fn public_addresses_beside_the_denied_networks_are_allowed() {
    let addresses = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
        169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
        223.255.255.255 2001:200:: 2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:1.1.1.1";
    for ip in addresses
        .split_whitespace()
        .map(|text| text.parse().unwrap())
    {
        assert_eq!(UrlPolicy::default().check_ip(ip), Ok(()), "{ip}");
    }
}

#[test]
fn no_spelling_of_this_machine_passes() {
    let hosts = "127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 0177.0.0.1 017700000001 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] \
        [::ffff:7f00:1] [0:0:0:0:0:0:0:1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] localhost LOCALHOST localhost. \
        a.localhost 127.0.0.1. １２７.0.0.1 ⑫7.0.0.1 %31%32%37.0.0.1";
    for host in hosts.split_whitespace() {
        for text in [
            format!("https://{host}/"),
            format!("https://{host}:443"),
            format!("HTTPS://{host}?x"),
        ] {
            assert!(UrlPolicy::default().check_url(&text).is_err(), "{text}");
        }
    }
}

#[test]
fn urls_that_a_parser_would_have_to_repair_are_refused() {
    let texts = [
        "",
        "example.com",
        "//example.com/",
        "https:example.com",
        "https:/example.com",
        "https:///example.com",
        "https://",
        "https:\\\\example.com\\",
        "https://example.com\\@127.0.0.1/",
        " https://example.com/",
        "https://example.com/\n",
        "https://exa\tmple.com/",
        "https://example.com/a b",
        "ftp://example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://:pass@example.com/",
        "https://example.com/#x",
        "https://example.com/#",
        "https://exa mple.com/",
        "https://[::1/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
    ];
    for text in texts {
        assert!(UrlPolicy::default().check_url(text).is_err(), "{text:?}");
    }
    let path = "a".repeat(MAX_URL_BYTES);
    assert!(
        UrlPolicy::default()
            .check_url(&format!("https://example.com/{path}"))
            .is_err()
    );
}

#[test]
fn http_needs_a_setting_and_brings_port_80() {
    let url = "http://example.com/";
    assert!(
        UrlPolicy::default()
            .check_url(url)
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("herald.allow_http")
    );
    let policy = UrlPolicy {
        allow_http: true,
        ..UrlPolicy::default()
    };
    assert!(policy.check_url(url).is_ok());
    assert_eq!(policy.check_address("1.1.1.1:80".parse().unwrap()), Ok(()));
    assert!(
        UrlPolicy::default()
            .check_address("1.1.1.1:80".parse().unwrap())
            .is_err()
    );
}

#[test]
fn an_allowed_network_comes_before_the_deny_list_and_opens_every_port() {
    let policy = policy("127.0.0.0/8,fd00::/8", "");
    for text in [
        "https://127.0.0.1:8080/",
        "https://localhost:8080/",
        "https://[fd00::1]:99/",
        "https://[::ffff:127.0.0.1]:1/",
    ] {
        assert!(policy.check_url(text).is_ok(), "{text}");
    }
    assert_eq!(
        policy.check_address("[::ffff:127.0.0.1]:8080".parse().unwrap()),
        Ok(())
    );
    for address in ["10.0.0.1:443", "[::1]:443", "1.1.1.1:8080"] {
        assert!(
            policy.check_address(address.parse().unwrap()).is_err(),
            "{address}"
        );
    }
}

#[test]
fn a_name_may_have_any_port_only_where_it_may_lead_to_an_allowed_network() {
    let url = "https://internal.example:8080/";
    assert_eq!(
        UrlPolicy::default()
            .check_url(url)
            .unwrap_err()
            .detail()
            .unwrap(),
        "Public addresses are reached on these ports only: 443."
    );
    assert!(policy("10.0.0.0/8", "").check_url(url).is_ok());
    assert!(policy("", "8080").check_url(url).is_ok());
}

#[test]
fn a_blocked_address_names_the_setting_that_would_allow_it() {
    let error = UrlPolicy::default()
        .check_url("https://2130706433/secret-path")
        .unwrap_err();
    assert_eq!(
        error.message(),
        "the url leads to a blocked address: 127.0.0.1"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("add 127.0.0.1/32 to herald.allow_networks")
    );
}

#[test]
fn faulty_settings_are_refused() {
    for networks in [
        "localhost",
        "10.0.0.0/33",
        "10.1.0.0/8",
        "10.0.0.0-10.0.0.9",
        "*",
    ] {
        assert!(UrlPolicy::parse(false, networks, "").is_err(), "{networks}");
    }
    for ports in ["0", "65536", "http", "80-90", "-1"] {
        assert!(UrlPolicy::parse(false, "", ports).is_err(), "{ports}");
    }
    assert_eq!(
        policy(" , 10.0.0.0/8\t::1 ", "1, 2 3").allow_ports,
        [1, 2, 3]
    );
}

#[test]
fn no_error_repeats_the_path_or_the_credentials_of_a_url() {
    for text in [
        "ftp://h/token",
        "https://token@example.com/",
        "https://127.0.0.1/token",
        "https://example.com:1/token",
        "token",
    ] {
        let error = UrlPolicy::default().check_url(text).unwrap_err();
        assert!(
            !format!("{error} {error:?} {:?}", error.hint()).contains("token"),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_accepted_literal_is_public(text in "https?://[0-9a-fx.:\\[\\]@/%#?\\PC]{0,40}") {
        if let Ok(url) = UrlPolicy::default().check_url(&text) {
            let ip = match url.host().unwrap() {
                Host::Ipv4(ip) => ip.into(),
                Host::Ipv6(ip) => ip.into(),
                Host::Domain(_) => return Ok(()),
            };
            prop_assert_eq!(UrlPolicy::default().check_ip(ip), Ok(()));
        }
    }

    #[test]
    fn a_mapped_address_is_judged_like_the_address_inside(bits: u32) {
        let ip = Ipv4Addr::from_bits(bits);
        let policy = UrlPolicy::default();
        prop_assert_eq!(policy.check_ip(ip.into()), policy.check_ip(ip.to_ipv6_mapped().into()));
    }
}
