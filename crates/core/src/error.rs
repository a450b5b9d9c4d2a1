//! The crate's only error type: problems that a user, or the owner of a setting, must correct.
//!
//! Errors arise where text becomes a checked value, before anything enters the pipeline. The SQL boundary turns each
//! into SQLSTATE 22023 with [`Error::message`], [`Error::detail`] and [`Error::hint`]. A failed delivery is never an
//! error but an [`Outcome`](crate::attempt::outcome::Outcome). No text made here may contain a secret, a header's
//! value, or the path or query of a URL.

use std::fmt;

/// A refusal, with the reason and the exact fix.
///
/// ```
/// use herald_core::subscription::globs::TypeGlobs;
///
/// let error = TypeGlobs::parse(&[]).unwrap_err();
/// assert_eq!(error.message(), "types must not be empty");
/// assert_eq!(error.hint().unwrap(), "Use types => '{*}' to receive every event.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// `emit` got a CloudEvents attribute that the specification forbids, such as an empty type.
    Attribute {
        name: &'static str,
        fault: String,
        hint: String,
    },
    /// `emit` got an extension attribute with a forbidden name or value.
    Extension {
        name: String,
        fault: String,
        hint: String,
    },
    /// `subscribe` got a name that is empty, too long, only digits, or needs quoting.
    SubscriptionName { name: String },
    /// `subscribe` or an update of a subscription got a number or an interval outside its limits.
    OutOfRange {
        option: &'static str,
        value: String,
        allowed: &'static str,
        hint: &'static str,
    },
    /// An option such as `signing` is invalid, alone or together with others.
    Option {
        option: &'static str,
        fault: String,
        hint: String,
    },
    /// A document names an unknown option.
    UnknownOption {
        name: String,
        nearest: Option<&'static str>,
    },
    /// A required option is null.
    NullOption { option: &'static str },
    /// An option such as `headers` is not an object of strings.
    NotStrings { option: &'static str },
    /// A member of a list is null.
    NullMember { option: &'static str },
    /// A list contains lists.
    Dimensions { option: &'static str },
    /// `retry_schedule` is empty, too long, or has a member outside its limits.
    RetrySchedule { fault: String, hint: &'static str },
    /// `types` is empty.
    NoTypes,
    /// `types` has a member that no type can match.
    TypeGlob {
        glob: String,
        fault: String,
        hint: &'static str,
    },
    /// `headers` has a name or a value that must not be sent, or is too large.
    Header {
        name: String,
        fault: String,
        hint: String,
    },
    /// `url` cannot be used. The text is not repeated, because URLs often carry tokens.
    Url { fault: String, hint: String },
    /// `url` names an address that this server must not reach.
    BlockedAddress {
        address: String,
        reason: &'static str,
        network: String,
        /// The setting that would allow it.
        setting: &'static str,
    },
    /// `url` names a port that is not open to webhooks.
    BlockedPort { port: u16, allowed: String },
    /// A setting such as `herald.allow_networks` could not be read.
    Setting {
        name: &'static str,
        value: String,
        fault: String,
        hint: String,
    },
    /// `secret` is not a valid secret. The text is never repeated.
    Secret { fault: String },
    /// A subscription was restored without its secret, so that its requests cannot be signed.
    NoSecret { subscription: String },
    /// The `webhook-id` contains a full stop or characters that a header cannot carry.
    UnsignableId { id: String },
    /// The event cannot become a request: a template failed, or a placeholder has no value. A retry cannot help.
    Unsendable { fault: String },
    /// A request's body is larger than the subscription's `max_payload`.
    TooLarge { size: usize, limit: usize },
}

/// The maximum length of a message, in characters: it may repeat a user's text.
pub const MAX_MESSAGE: usize = 400;
/// The maximum length of a detail or a hint, in characters.
pub const MAX_DETAIL: usize = 1000;

/// Cuts a text to at most `limit` characters, with an ellipsis for the rest.
///
/// ```
/// use herald_core::error::shortened;
///
/// assert_eq!(shortened("abc", 3), "abc");
/// assert_eq!(shortened("abcd", 3), "abc…");
/// ```
pub fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

impl Error {
    /// Returns what is wrong, as a lower-case phrase without a full stop.
    pub fn message(&self) -> String {
        shortened(&self.whole_message(), MAX_MESSAGE)
    }

    fn whole_message(&self) -> String {
        match self {
            Error::Attribute { name, .. } => format!("invalid {name}"),
            Error::Extension { name, .. } => format!("invalid extension attribute {name:?}"),
            Error::SubscriptionName { name } => format!("invalid subscription name {name:?}"),
            Error::OutOfRange { option, .. } => format!("{option} is out of range"),
            Error::Option { option, .. } => format!("invalid {option}"),
            Error::UnknownOption { name, .. } => format!("unknown option {name:?}"),
            Error::NullOption { option } => format!("{option} of a subscription is null"),
            Error::NotStrings { option } => format!("{option} is not an object of strings"),
            Error::NullMember { option } => format!("a member of {option} is null"),
            Error::Dimensions { option } => format!("{option} has more than one dimension"),
            Error::RetrySchedule { .. } => "invalid retry_schedule".into(),
            Error::NoTypes => "types must not be empty".into(),
            Error::TypeGlob { glob, .. } => format!("invalid member of types: {glob:?}"),
            Error::Header { name, .. } => format!("invalid header {name:?}"),
            Error::Url { .. } => "invalid url".into(),
            Error::BlockedAddress { address, .. } => {
                format!("the url leads to a blocked address: {address}")
            }
            Error::BlockedPort { port, .. } => format!("the url names a blocked port: {port}"),
            Error::Setting { name, value, .. } => format!("invalid value for {name}: {value:?}"),
            Error::Secret { .. } => "invalid secret".into(),
            Error::NoSecret { subscription } => {
                format!("subscription {subscription:?} has no secret")
            }
            Error::UnsignableId { id } => format!("event uid {id:?} cannot be signed"),
            Error::Unsendable { fault } => format!("the event cannot be sent: {fault}"),
            Error::TooLarge { .. } => "the request is too large".into(),
        }
    }

    /// Returns why it is wrong, in full sentences, if the message does not say it all.
    pub fn detail(&self) -> Option<String> {
        self.whole_detail()
            .map(|detail| shortened(&detail, MAX_DETAIL))
    }

    fn whole_detail(&self) -> Option<String> {
        match self {
            Error::Attribute { fault, .. }
            | Error::Extension { fault, .. }
            | Error::Option { fault, .. }
            | Error::RetrySchedule { fault, .. }
            | Error::TypeGlob { fault, .. }
            | Error::Header { fault, .. }
            | Error::Url { fault, .. }
            | Error::Setting { fault, .. }
            | Error::Secret { fault } => Some(fault.clone()),
            Error::OutOfRange { value, allowed, .. } => {
                Some(format!("The value is {value}; allowed is {allowed}."))
            }
            Error::BlockedAddress {
                address, reason, ..
            } => Some(format!("{address} is {reason}.")),
            Error::BlockedPort { allowed, .. } => Some(format!(
                "Public addresses are reached on these ports only: {allowed}."
            )),
            Error::NoSecret { .. } => Some("Nothing is ever sent unsigned.".into()),
            Error::UnsignableId { .. } => {
                Some("A webhook-id has visible ASCII characters only, and no full stop.".into())
            }
            Error::TooLarge { size, limit } => {
                Some(format!("It has {size} bytes and max_payload is {limit}."))
            }
            Error::UnknownOption { .. } => {
                Some("The options are those of subscribe(), and state.".into())
            }
            Error::SubscriptionName { .. }
            | Error::NoTypes
            | Error::NullOption { .. }
            | Error::NotStrings { .. }
            | Error::NullMember { .. }
            | Error::Dimensions { .. }
            | Error::Unsendable { .. } => None,
        }
    }

    /// Returns what to write instead, as a full sentence.
    pub fn hint(&self) -> Option<String> {
        self.whole_hint().map(|hint| shortened(&hint, MAX_DETAIL))
    }

    fn whole_hint(&self) -> Option<String> {
        match self {
            Error::Attribute { hint, .. }
            | Error::Extension { hint, .. }
            | Error::Option { hint, .. }
            | Error::Header { hint, .. }
            | Error::Url { hint, .. }
            | Error::Setting { hint, .. } => Some(hint.clone()),
            Error::OutOfRange { hint, .. }
            | Error::RetrySchedule { hint, .. }
            | Error::TypeGlob { hint, .. } => Some((*hint).into()),
            Error::SubscriptionName { .. } => {
                Some("Use 1 to 63 of the characters A-Z, a-z, 0-9 and . _ / -, not digits alone.".into())
            }
            Error::UnknownOption { nearest, .. } => Some(match nearest {
                Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                None => "Leave it out.".into(),
            }),
            Error::NullOption { option } => {
                Some(format!("Give {option} a value, or leave it as it is."))
            }
            Error::NotStrings { option } => {
                let example = match *option {
                    "auth" => r#"'{"type": "bearer", "token": "..."}'"#,
                    "tls" => "jsonb_build_object('ca', '-----BEGIN CERTIFICATE-----...')",
                    _ => r#"'{"X-Shop": "eu"}'"#,
                };
                Some(format!("Write {option} => {example}."))
            }
            Error::NullMember { .. } => Some("Leave the member out.".into()),
            Error::Dimensions { option } => {
                Some(format!("Write {option} => '{{...}}' without braces within."))
            }
            Error::NoTypes => Some("Use types => '{*}' to receive every event.".into()),
            Error::BlockedAddress {
                network, setting, ..
            } => Some(format!(
                "To allow it, have a superuser add {network} to {setting}."
            )),
            Error::BlockedPort { port, .. } => Some(format!(
                "Use one of them, or let a superuser add {port} to herald.allow_ports."
            )),
            Error::Secret { .. } => Some(
                "Leave it out to have one made, or give one in the form of the signing scheme: whsec_ and the base64 of 24 to 64 bytes, for ed25519 whsk_ and the base64 of the key, or text of 8 to 256 characters."
                    .into(),
            ),
            Error::NoSecret { subscription } => Some(format!(
                "Run select herald.rotate_secret('{subscription}')."
            )),
            Error::TooLarge { .. } => {
                Some("Raise max_payload, or leave columns out of the watch.".into())
            }
            Error::UnsignableId { .. } | Error::Unsendable { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        if let Some(detail) = self.detail() {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_gave_is_repeated_in_part_only() {
        let long = "ü".repeat(1_000_000);
        let error = Error::Option {
            option: "signing",
            fault: long.clone(),
            hint: long.clone(),
        };
        let characters = |text: Option<String>| text.unwrap().chars().count();
        assert_eq!(characters(error.detail()), MAX_DETAIL + 1);
        assert_eq!(characters(error.hint()), MAX_DETAIL + 1);
        let error = Error::SubscriptionName { name: long };
        assert_eq!(characters(Some(error.message())), MAX_MESSAGE + 1);
    }
}
