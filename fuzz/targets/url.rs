//! No accepted URL leads to a denied address, and the dialled URL is the checked one.
#![no_main]

use std::net::IpAddr;

use herald_core::egress::url_policy::UrlPolicy;
use libfuzzer_sys::fuzz_target;
use url::Host;

fuzz_target!(|text: &str| {
    let policy = UrlPolicy::parse(true, "203.0.113.0/24", "8443").expect("valid settings");
    let Ok(url) = policy.check_url(text) else {
        return;
    };
    let again = policy.check_url(url.as_str()).expect("what was accepted is accepted again");
    assert_eq!(again, url);
    let uri: http::Uri = match url.as_str().parse() {
        Ok(uri) => uri,
        Err(_) => return,
    };
    assert_eq!(uri.host(), url.host_str());
    assert_eq!(uri.port_u16(), url.port());
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let ip = match url.host().expect("a host") {
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
        // The resolver must not treat as an address what was not checked as one.
        Host::Domain(name) => {
            assert!(name.parse::<IpAddr>().is_err());
            return;
        }
    };
    assert_eq!(policy.check_ip(ip), Ok(()));
});
