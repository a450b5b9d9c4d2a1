//! The URL policy: which addresses users may make the server call (a guard against SSRF).
//!
//! `subscribe` checks the text of a URL, and the sender's resolver checks each address before it is dialled. Only the
//! second check is safe against names that change their address in between, so no request may rely on the first alone.
//! All addresses that are not public are denied; allow-lists, which only a superuser can set, come before the
//! deny-list. Nothing opens the port that the database server itself listens on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::error::Error;

mod hosts;
mod networks;

use hosts::HostPattern;

/// The maximum size of a URL, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// Returns the scheme, host and port of a URL, which decide who gets the requests; the text itself if it is not a URL.
///
/// ```
/// use herald_core::egress::url_policy::origin_of;
/// assert_eq!(origin_of("HTTPS://Example.com:443/a/{type}"), origin_of("https://example.com/b"));
/// assert_ne!(origin_of("https://example.com/"), origin_of("https://example.com:8443/"));
/// assert_ne!(origin_of("https://example.com/"), origin_of("http://example.com:443/"));
/// assert_ne!(origin_of("https://a.example.com/"), origin_of("https://example.com/"));
/// assert_eq!(origin_of("nowhere"), "nowhere");
/// ```
pub fn origin_of(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => text.to_owned(),
    }
}

/// The addresses that webhooks may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlPolicy {
    /// Whether to accept `http` URLs beside `https` ones, and with them port 80.
    pub allow_http: bool,
    /// Networks that may be reached on any port, although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// Ports beside 443 that may be reached on public addresses.
    pub allow_ports: Vec<u16>,
    /// Hosts that may lead to any address, on any port.
    allow_hosts: Vec<HostPattern>,
    /// The port that the database server listens on.
    own_port: Option<u16>,
    audience: Audience,
}

/// The owners of the webhooks that a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Audience {
    #[default]
    Platform,
    Tenants,
}

impl Audience {
    /// Returns the setting that opens networks for this audience.
    fn networks_setting(self) -> &'static str {
        match self {
            Audience::Platform => "herald.allow_networks",
            Audience::Tenants => "herald.tenant_networks",
        }
    }
}

impl UrlPolicy {
    /// Parses the settings `herald.allow_http`, `herald.allow_networks` and `herald.allow_ports`.
    ///
    /// Lists are separated by commas or blanks. An address without a prefix length stands only for itself.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::parse(false, "127.0.0.0/8, ::1", "8443").unwrap();
    /// assert!(policy.check_url("https://127.0.0.1:9999/hook").is_ok());
    /// assert!(policy.check_url("https://10.0.0.1/hook").is_err());
    /// assert_eq!(
    ///     UrlPolicy::parse(false, "10.1.2.3/8", "").unwrap_err().hint().unwrap(),
    ///     "Write 10.0.0.0/8 for the network, or 10.1.2.3 for the one address."
    /// );
    /// ```
    pub fn parse(
        allow_http: bool,
        allow_networks: &str,
        allow_ports: &str,
    ) -> Result<UrlPolicy, Error> {
        Self::parse_for(Audience::Platform, allow_http, allow_networks, allow_ports)
    }

    /// Parses the policy for tenants, whose webhooks may reach `herald.tenant_networks` beside public addresses.
    /// Tenants are told less: nothing about where a name leads.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::parse_for_tenants(false, "", "").unwrap();
    /// assert!(policy.check_url("https://10.0.0.1/hook").unwrap_err().hint().unwrap().contains("herald.tenant_networks"));
    /// assert!(policy.is_for_tenants() && !UrlPolicy::default().is_for_tenants());
    /// ```
    pub fn parse_for_tenants(
        allow_http: bool,
        tenant_networks: &str,
        allow_ports: &str,
    ) -> Result<UrlPolicy, Error> {
        Self::parse_for(Audience::Tenants, allow_http, tenant_networks, allow_ports)
    }

    fn parse_for(
        audience: Audience,
        allow_http: bool,
        allow_networks: &str,
        allow_ports: &str,
    ) -> Result<UrlPolicy, Error> {
        Ok(UrlPolicy {
            allow_http,
            allow_networks: members(allow_networks)
                .map(|text| parse_network(text, audience))
                .collect::<Result<_, _>>()?,
            allow_ports: members(allow_ports)
                .map(parse_port)
                .collect::<Result<_, _>>()?,
            allow_hosts: Vec::new(),
            own_port: None,
            audience,
        })
    }

    pub fn is_for_tenants(&self) -> bool {
        self.audience == Audience::Tenants
    }

    /// Parses the setting `herald.allow_hosts`: names, or `*.` and a domain for all names under it.
    ///
    /// The owner of such a name in the DNS can make the server call any address.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::default().with_hosts("hooks.internal, *.corp.example").unwrap();
    /// assert!(policy.check_url("https://a.corp.example:8443/hook").is_ok());
    /// assert!(policy.check_address_of("hooks.internal", "10.0.0.1:8443".parse().unwrap()).is_ok());
    /// assert!(policy.check_address_of("example.com", "10.0.0.1:8443".parse().unwrap()).is_err());
    /// assert!(UrlPolicy::default().with_hosts("10.0.0.1").is_err());
    /// ```
    pub fn with_hosts(self, allow_hosts: &str) -> Result<UrlPolicy, Error> {
        Ok(UrlPolicy {
            allow_hosts: members(allow_hosts)
                .map(HostPattern::parse)
                .collect::<Result<_, _>>()?,
            ..self
        })
    }

    /// Closes this port despite all lists: a webhook must not talk to the database that sends it.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::parse(false, "127.0.0.0/8", "").unwrap().without_port(5432);
    /// assert!(policy.check_url("https://127.0.0.1:5433/").is_ok());
    /// assert!(policy.check_url("https://127.0.0.1:5432/").is_err());
    /// ```
    pub fn without_port(self, own_port: u16) -> UrlPolicy {
        UrlPolicy {
            own_port: Some(own_port),
            ..self
        }
    }

    /// Checks the text of a URL and returns it parsed and normalised.
    ///
    /// A host that is an address, in any spelling, is checked at once; a name is checked when it is dialled.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::default();
    /// assert_eq!(policy.check_url("https://Example.com/hook").unwrap().as_str(), "https://example.com/hook");
    /// for refused in ["http://example.com/", "https://0x7f.1/", "https://user@example.com/", "https://example.com:22/"] {
    ///     assert!(policy.check_url(refused).is_err());
    /// }
    /// ```
    pub fn check_url(&self, text: &str) -> Result<Url, Error> {
        let url = parse_url(text)?;
        self.check_scheme(&url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "It contains a user name or password.",
                "Put credentials into headers => '{\"authorization\": \"...\"}'.",
            ));
        }
        if url.fragment().is_some() {
            return Err(refused(
                "It has a fragment, which is never sent.",
                "Remove the # and what follows it.",
            ));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if self.is_own(port) {
            return Err(refused(
                "Its port is the one that this database server listens on.",
                "Use another port.",
            ));
        }
        self.check_host(&url, port)?;
        Ok(url)
    }

    fn check_scheme(&self, url: &Url) -> Result<(), Error> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" => Err(refused(
                "The scheme is http, which neither hides nor protects what is sent.",
                "Use https, or let a superuser set herald.allow_http = on.",
            )),
            _ => Err(refused(
                "The scheme is neither https nor http.",
                "Use an https:// URL.",
            )),
        }
    }

    fn check_host(&self, url: &Url, port: u16) -> Result<(), Error> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_literal(SocketAddr::from((address, port))),
            Some(Host::Ipv6(address)) => self.check_literal(SocketAddr::from((address, port))),
            Some(Host::Domain(name)) if self.is_allowed_host(name) => Ok(()),
            // Names under localhost always lead to this machine (RFC 6761), so the user can be told at once.
            Some(Host::Domain(name))
                if is_localhost(name) && self.check_ip(Ipv4Addr::LOCALHOST.into()).is_err() =>
            {
                Err(self.blocked(name, "this machine itself", Ipv4Addr::LOCALHOST.into()))
            }
            Some(Host::Domain(name)) if !name.bytes().all(is_host_byte) => Err(refused(
                "The host contains a character that no name of a host has.",
                "Use letters, digits, dots and hyphens.",
            )),
            // A name may lead to an allowed network, where any port is open; only dialling can tell.
            Some(Host::Domain(_)) if self.is_open(port) || !self.allow_networks.is_empty() => {
                Ok(())
            }
            Some(Host::Domain(_)) => Err(self.blocked_port(port)),
            None => Err(refused(
                "It has no host.",
                "Use a URL such as https://example.com/webhook.",
            )),
        }
    }

    /// Checks an address and port before they are dialled; the error is the reason in words.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::default();
    /// assert_eq!(policy.check_address("93.184.216.34:443".parse().unwrap()), Ok(()));
    /// assert_eq!(policy.check_address("93.184.216.34:22".parse().unwrap()), Err("a port that is not open to webhooks"));
    /// ```
    pub fn check_address(&self, address: SocketAddr) -> Result<(), &'static str> {
        if self.is_own(address.port()) {
            return Err("the port of this database server");
        }
        self.check_ip(address.ip())?;
        if self.is_open(address.port()) || self.is_in_allowed_network(address.ip()) {
            Ok(())
        } else {
            Err("a port that is not open to webhooks")
        }
    }

    /// Checks an address and port of a host before they are dialled.
    pub fn check_address_of(&self, host: &str, address: SocketAddr) -> Result<(), &'static str> {
        match self.check_address(address) {
            Err(_) if self.is_allowed_host(host) && !self.is_own(address.port()) => Ok(()),
            checked => checked,
        }
    }

    /// Checks an address before it is dialled; the error is the reason in words.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let policy = UrlPolicy::default();
    /// assert_eq!(policy.check_ip("::ffff:169.254.169.254".parse().unwrap()), Err("a link-local or metadata address"));
    /// ```
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), &'static str> {
        if self.is_in_allowed_network(ip) {
            return Ok(());
        }
        networks::check_public(ip.to_canonical())
    }

    fn is_in_allowed_network(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allow_networks
            .iter()
            .any(|network| network.contains(&ip))
    }

    fn is_allowed_host(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Returns whether the database server listens on this port.
    pub fn is_own(&self, port: u16) -> bool {
        self.own_port == Some(port)
    }

    fn is_open(&self, port: u16) -> bool {
        port == 443 || (port == 80 && self.allow_http) || self.allow_ports.contains(&port)
    }

    fn check_literal(&self, address: SocketAddr) -> Result<(), Error> {
        let ip = address.ip().to_canonical();
        self.check_ip(ip)
            .map_err(|reason| self.blocked(&ip.to_string(), reason, ip))?;
        self.check_address(address)
            .map_err(|_| self.blocked_port(address.port()))
    }

    fn blocked(&self, address: &str, reason: &'static str, ip: IpAddr) -> Error {
        Error::BlockedAddress {
            address: address.into(),
            reason,
            network: IpNet::from(ip).to_string(),
            setting: self.audience.networks_setting(),
        }
    }

    fn blocked_port(&self, port: u16) -> Error {
        let http = self.allow_http.then_some(80);
        let ports = [443]
            .into_iter()
            .chain(http)
            .chain(self.allow_ports.iter().copied());
        let allowed = ports
            .map(|port| port.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        Error::BlockedPort { port, allowed }
    }
}

/// Parses strictly: the WHATWG parser alone would repair backslashes, line ends and missing slashes.
fn parse_url(text: &str) -> Result<Url, Error> {
    const EXAMPLE: &str = "Use a URL such as https://example.com/webhook.";
    let too_long = |bytes: usize| {
        refused(
            &format!("It has {bytes} bytes; allowed are {MAX_URL_BYTES}."),
            "Use a shorter URL.",
        )
    };
    if text.len() > MAX_URL_BYTES {
        return Err(too_long(text.len()));
    }
    if text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(refused(
            "It contains a blank, a control character or a backslash.",
            "Percent-encode it, a blank as %20.",
        ));
    }
    let url = Url::parse(text)
        .map_err(|error| refused(&format!("It is not a URL: {error}."), EXAMPLE))?;
    // The sent text may be longer than the written one: percent-encoded, or with the host in Punycode.
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(too_long(url.as_str().len()));
    }
    let after_scheme = text.get(url.scheme().len()..).unwrap_or("");
    if !after_scheme.starts_with("://") || after_scheme.starts_with(":///") {
        return Err(refused(
            "It does not begin with a scheme, two slashes and a host.",
            EXAMPLE,
        ));
    }
    Ok(url)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_".contains(&byte)
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|member| !member.is_empty())
}

fn parse_network(text: &str, audience: Audience) -> Result<IpNet, Error> {
    let setting = |fault: &str, hint: String| Error::Setting {
        name: audience.networks_setting(),
        value: text.into(),
        fault: fault.into(),
        hint,
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        setting(
            "It is neither an address nor a network.",
            "Use networks such as 10.0.0.0/8 or fd00::/8, not names.".into(),
        )
    })?;
    if network.addr() != network.network() {
        let hint = format!(
            "Write {} for the network, or {} for the one address.",
            network.trunc(),
            network.addr()
        );
        return Err(setting("It has bits set to the right of its prefix.", hint));
    }
    Ok(network)
}

fn parse_port(text: &str) -> Result<u16, Error> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Error::Setting {
            name: "herald.allow_ports",
            value: text.into(),
            fault: "It is not a port.".into(),
            hint: "Use numbers from 1 to 65535, such as 8443.".into(),
        })
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Url {
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
