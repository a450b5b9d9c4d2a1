//! The option `breaker`: when a receiver counts as down, and how it is tried meanwhile.
//!
//! What is done with it is dispatch's business.

use serde_json::{Map, Value};

use crate::attempt::outcome::{ErrorClass, Outcome};
use crate::attempt::retry::interval_text;
use crate::error::Error;
use crate::subscription::options::interval_micros;
use crate::suggest::nearest;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The statuses that say something of the delivery, and not of the receiver.
const OF_THE_DELIVERY: [u16; 3] = [400, 413, 422];
const MEMBERS: [&str; 7] = [
    "failures",
    "ratio",
    "window",
    "probe",
    "probe_with",
    "probe_every",
    "disable_after",
];

/// When a receiver counts as down, and how it is tried meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// At least so many failures,
    pub failures: u32,
    /// which are at least this part of all attempts,
    pub ratio: f64,
    /// in this time, in microseconds.
    pub window: i64,
    /// The time between two probes, in microseconds.
    pub probe: i64,
    pub probe_with: ProbeWith,
    /// The time between two probes while all is well, in microseconds.
    pub probe_every: Option<i64>,
    /// After this time the subscription is disabled, in microseconds.
    pub disable_after: Option<i64>,
}

/// What a receiver that is down is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeWith {
    /// The next delivery.
    Delivery,
    /// A request with this method and an empty body.
    Head,
    Options,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            failures: 20,
            ratio: 0.5,
            window: 60 * SECOND,
            probe: 30 * SECOND,
            probe_with: ProbeWith::Delivery,
            probe_every: None,
            disable_after: None,
        }
    }
}

impl BreakerPolicy {
    /// Parses the option. Members that are missing have their defaults.
    ///
    /// ```
    /// use herald_core::subscription::breaker::BreakerPolicy;
    ///
    /// let policy = BreakerPolicy::parse(&serde_json::json!({"failures": 5, "probe": "10 s"})).unwrap();
    /// assert_eq!((policy.failures, policy.ratio, policy.probe), (5, 0.5, 10_000_000));
    /// let error = BreakerPolicy::parse(&serde_json::json!({"probe": "1 ms"})).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), "Its probe is 1 ms; allowed is 1 s to 7 days.");
    /// ```
    pub fn parse(option: &Value) -> Result<BreakerPolicy, Error> {
        let members = option
            .as_object()
            .ok_or_else(|| refused("It is not an object.", r#"Use breaker => '{}'."#))?;
        if let Some(unknown) = members
            .keys()
            .find(|name| !MEMBERS.contains(&name.as_str()))
        {
            let hint = match nearest(unknown, MEMBERS) {
                Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                None => format!("Its members are {}.", MEMBERS.join(", ")),
            };
            return Err(refused(&format!("It has no member {unknown:?}."), &hint));
        }
        let span = |name, example: &str, least, most| span(members, name, example, least, most);
        let default = BreakerPolicy::default();
        let probe_with = probe_with(members)?.unwrap_or(default.probe_with);
        let probe_every = span("probe_every", "5 min", SECOND, DAY)?;
        if probe_every.is_some() && probe_with == ProbeWith::Delivery {
            return Err(refused(
                "Its probe_every needs a probe that is no delivery.",
                r#"Use "probe_with": "HEAD" too, or leave probe_every out."#,
            ));
        }
        Ok(BreakerPolicy {
            failures: failures(members)?.unwrap_or(default.failures),
            ratio: ratio(members)?.unwrap_or(default.ratio),
            window: span("window", "1 min", SECOND, 3_600 * SECOND)?.unwrap_or(default.window),
            probe: span("probe", "30 s", SECOND, 7 * DAY)?.unwrap_or(default.probe),
            probe_with,
            probe_every,
            disable_after: span("disable_after", "5 days", 60 * SECOND, 365 * DAY)?,
        })
    }
}

fn failures(members: &Map<String, Value>) -> Result<Option<u32>, Error> {
    let fault = "Its failures are not an integer of 1 to 10000.";
    let read = |value: &Value| {
        let failures = value
            .as_u64()
            .filter(|failures| (1..=10_000).contains(failures));
        let failures = failures.and_then(|failures| failures.try_into().ok());
        failures.ok_or_else(|| refused(fault, r#"Use "failures": 20."#))
    };
    members.get("failures").map(read).transpose()
}

fn ratio(members: &Map<String, Value>) -> Result<Option<f64>, Error> {
    let fault = "Its ratio is not a number over 0 and up to 1.";
    let read = |value: &Value| {
        let ratio = value.as_f64().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0);
        ratio.ok_or_else(|| refused(fault, r#"Use "ratio": 0.5."#))
    };
    members.get("ratio").map(read).transpose()
}

fn probe_with(members: &Map<String, Value>) -> Result<Option<ProbeWith>, Error> {
    let read = |value: &Value| match value.as_str() {
        Some("delivery") => Ok(ProbeWith::Delivery),
        Some("HEAD") => Ok(ProbeWith::Head),
        Some("OPTIONS") => Ok(ProbeWith::Options),
        _ => Err(refused(
            "Its probe_with is none of delivery, HEAD and OPTIONS.",
            r#"Use "probe_with": "HEAD", or leave it out to try the next delivery."#,
        )),
    };
    members.get("probe_with").map(read).transpose()
}

/// Returns a span of time in microseconds; `None` if it is missing or null.
fn span(
    members: &Map<String, Value>,
    name: &str,
    example: &str,
    least: i64,
    most: i64,
) -> Result<Option<i64>, Error> {
    let hint = format!("Use \"{name}\": \"{example}\".");
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let micros = value.as_str().and_then(interval_micros).ok_or_else(|| {
        refused(
            &format!("Its {name} is {value}, which is no interval."),
            &hint,
        )
    })?;
    if !(least..=most).contains(&micros) {
        let [micros, least, most] = [micros, least, most].map(interval_text);
        let fault = format!("Its {name} is {micros}; allowed is {least} to {most}.");
        return Err(refused(&fault, &hint));
    }
    Ok(Some(micros))
}

/// Returns whether an attempt shows that the receiver is down; `None` if it says nothing of the receiver.
///
/// ```
/// use std::time::Duration;
/// use herald_core::attempt::outcome::Outcome;
/// use herald_core::subscription::breaker::shows_down;
///
/// let answered = |status| Outcome::answered(status, Duration::ZERO, None, String::new());
/// assert_eq!(shows_down(&answered(200)), Some(false));
/// assert_eq!(shows_down(&answered(503)), Some(true));
/// assert_eq!(shows_down(&answered(422)), Some(false));
/// ```
pub fn shows_down(outcome: &Outcome) -> Option<bool> {
    match (&outcome.error, outcome.status) {
        (None, _) => Some(false),
        (Some(_), Some(status)) => Some(!OF_THE_DELIVERY.contains(&status)),
        (Some((class, _)), None) => match class {
            ErrorClass::Dns | ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout => {
                Some(true)
            }
            _ => None,
        },
    }
}

/// Returns whether a probe without a delivery shows that the receiver is up: any status below 500.
pub fn shows_up(outcome: &Outcome) -> bool {
    outcome.status.is_some_and(|status| status < 500)
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Option {
        option: "breaker",
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_object_has_every_default() {
        let policy = BreakerPolicy::parse(&json!({})).unwrap();
        assert_eq!(policy, BreakerPolicy::default());
        let all = json!({"failures": 10_000, "ratio": 1, "window": "01:00:00", "probe": "7 days", "probe_with": "HEAD",
                         "disable_after": "365 days"});
        let policy = BreakerPolicy::parse(&all).unwrap();
        assert_eq!(policy.disable_after, Some(365 * DAY));
        assert_eq!(
            (policy.window, policy.probe_with),
            (3_600 * SECOND, ProbeWith::Head)
        );
        assert_eq!(
            BreakerPolicy::parse(&json!({"disable_after": null})).unwrap(),
            BreakerPolicy::default()
        );
    }

    #[test]
    fn a_faulty_option_is_refused_with_its_fault() {
        for (option, fault) in [
            (json!(true), "It is not an object."),
            (json!({"failure": 1}), r#"It has no member "failure"."#),
            (
                json!({"failures": 0}),
                "Its failures are not an integer of 1 to 10000.",
            ),
            (
                json!({"failures": 1.5}),
                "Its failures are not an integer of 1 to 10000.",
            ),
            (
                json!({"ratio": 0}),
                "Its ratio is not a number over 0 and up to 1.",
            ),
            (
                json!({"ratio": "0.5"}),
                "Its ratio is not a number over 0 and up to 1.",
            ),
            (
                json!({"window": 60}),
                "Its window is 60, which is no interval.",
            ),
            (
                json!({"window": "2 h"}),
                "Its window is 2 h; allowed is 1 s to 1 h.",
            ),
            (
                json!({"probe": "500 ms"}),
                "Its probe is 500 ms; allowed is 1 s to 7 days.",
            ),
            (
                json!({"probe_with": "GET"}),
                "Its probe_with is none of delivery, HEAD and OPTIONS.",
            ),
            (
                json!({"disable_after": "30 s"}),
                "Its disable_after is 30 s; allowed is 1 min to 365 days.",
            ),
        ] {
            let error = BreakerPolicy::parse(&option).unwrap_err();
            assert_eq!(error.detail().unwrap(), fault, "{option}");
        }
    }

    #[test]
    fn only_what_comes_of_the_receiver_says_something_of_it() {
        for (class, expected) in [
            (ErrorClass::Dns, Some(true)),
            (ErrorClass::Connect, Some(true)),
            (ErrorClass::Tls, Some(true)),
            (ErrorClass::Timeout, Some(true)),
            (ErrorClass::Blocked, None),
            (ErrorClass::TooLarge, None),
            (ErrorClass::Template, None),
            (ErrorClass::Internal, None),
        ] {
            let outcome = Outcome::failed(class, "", Duration::ZERO);
            assert_eq!(shows_down(&outcome), expected, "{class:?}");
        }
        let up = |status| {
            shows_up(&Outcome::answered(
                status,
                Duration::ZERO,
                None,
                String::new(),
            ))
        };
        assert!(up(200) && up(405) && !up(500));
        assert!(!shows_up(&Outcome::failed(
            ErrorClass::Timeout,
            "",
            Duration::ZERO
        )));
    }
}
