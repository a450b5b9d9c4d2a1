//! Checks of the connection settings.

use crate::pg::guc::Checked;
use herald_core::egress::proxy::Proxy;
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::error::Error;
use std::net::IpAddr;

macro_rules! checked {
    ($name:ident, $check:expr) => {
        pub(super) struct $name;

        impl Checked for $name {
            fn check(text: &str) -> Result<(), Error> {
                let read: fn(&str) -> Result<_, Error> = $check;
                read(text).map(drop)
            }
        }
    };
}

checked!(AllowNetworks, |text| UrlPolicy::parse(false, text, ""));
checked!(TenantNetworks, |text| UrlPolicy::parse_for_tenants(
    false, text, ""
));
checked!(AllowPorts, |text| UrlPolicy::parse(false, "", text));
checked!(AllowHosts, |text| UrlPolicy::default().with_hosts(text));
checked!(ProxyUrl, Proxy::parse);
checked!(SourceAddress, source_address);

/// Reads `herald.source_address`; an empty text means none.
pub(super) fn source_address(text: &str) -> Result<Option<IpAddr>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::Setting {
        name: "herald.source_address",
        value: text.into(),
        fault: "The value is not an IP address.".into(),
        hint: "Use an IP address of this machine.".into(),
    })
}
