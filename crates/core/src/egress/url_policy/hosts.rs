//! The hosts of `herald.allow_hosts`.

use std::net::IpAddr;

use crate::error::Error;

/// A host, or all hosts under a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// This host only.
    Exactly(String),
    /// Every name with this ending, which begins with a dot.
    Under(String),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (name, is_domain) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, false),
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let fault = if name.parse::<IpAddr>().is_ok() {
            "It is an address."
        } else if !name.split('.').all(is_label) {
            "It is not the name of a host."
        } else {
            let name = name.to_ascii_lowercase();
            return Ok(if is_domain {
                Self::Under(format!(".{name}"))
            } else {
                Self::Exactly(name)
            });
        };
        Err(Error::Setting {
            name: "herald.allow_hosts",
            value: text.into(),
            fault: fault.into(),
            hint: "Use names such as hooks.example.com or *.example.com; addresses belong into herald.allow_networks."
                .into(),
        })
    }

    pub(super) fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self {
            Self::Exactly(name) => host == *name,
            Self::Under(domain) => host.len() > domain.len() && host.ends_with(domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_stands_for_all_names_under_it_and_not_for_itself() {
        let domain = HostPattern::parse("*.Example.com").unwrap();
        for inside in ["a.example.com", "A.B.EXAMPLE.COM", "a.example.com."] {
            assert!(domain.matches(inside), "{inside}");
        }
        for outside in [
            "example.com",
            ".example.com",
            "a.example.com.evil",
            "badexample.com",
        ] {
            assert!(!domain.matches(outside), "{outside}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "10.0.0.1",
            "::1",
            "*",
            "*.",
            "a..b",
            "https://a.example",
            "a:443",
            "*.*.example",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
