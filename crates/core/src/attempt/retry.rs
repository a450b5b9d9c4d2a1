//! The retry policy: decides what happens to a delivery after an attempt.
//!
//! It sits between send and record, as a pure function of the outcome, the policy, the time and a random number. It
//! must not look at a clock, and must answer every outcome: bury, wait, or be done.

use std::time::{Duration, UNIX_EPOCH};

pub use crate::attempt::dead_reason::DeadReason;
use crate::attempt::outcome::{ErrorClass, Outcome};
use crate::error::Error;

/// The delays after the first to the ninth failed attempt, in seconds (Standard Webhooks 1.0.0): 75 hours in total.
pub const DEFAULT_SCHEDULE_SECONDS: [u64; 9] =
    [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The default jitter: how far a delay is moved at random in either direction, as a fraction of it.
pub const DEFAULT_JITTER: f64 = 0.1;
/// The cap on a receiver's `Retry-After`.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);
const MAX_STEPS: usize = 100;
/// Enough for a list that names each status once.
const MAX_STATUSES: usize = 400;
/// The maximum time for which a delivery may be tried, or wait: 10 years.
pub const LONGEST: Duration = Duration::from_secs(315_576_000);

/// When to retry a subscription's failed deliveries.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The delay after each failed attempt. After the last one, the delivery is exhausted.
    pub schedule: Vec<Duration>,
    /// From 0 to 1: each delay is multiplied by a random number between 1 - jitter and 1 + jitter.
    pub jitter: f64,
    /// The maximum number of attempts ever made for a delivery; `None` leaves it to the schedule.
    pub max_attempts: Option<u32>,
    /// The statuses that are successes; `None` for 2xx. See [`Outcome::judged_by`].
    pub success: Option<Vec<u16>>,
    /// The statuses to retry, since after others a retry is useless; `None` for all that are not a success.
    pub retry_on: Option<Vec<u16>>,
    /// Whether a 410 ends only the delivery, not the subscription.
    pub survives_gone: bool,
    /// The delay after a timeout, instead of the schedule's.
    pub timeout_delay: Option<Duration>,
    /// The maximum time for retries, from the match on; `None` leaves it to the schedule.
    pub duration: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            schedule: DEFAULT_SCHEDULE_SECONDS.map(Duration::from_secs).to_vec(),
            jitter: DEFAULT_JITTER,
            max_attempts: None,
            success: None,
            retry_on: None,
            survives_gone: false,
            timeout_delay: None,
            duration: None,
        }
    }
}

impl RetryPolicy {
    /// Checks the options `retry_schedule` (in microseconds), `retry_jitter` and `max_attempts`.
    ///
    /// ```
    /// use herald_core::attempt::retry::RetryPolicy;
    ///
    /// assert!(RetryPolicy::new(&[1_000_000, 60_000_000], 0.1, Some(2)).is_ok());
    /// let error = RetryPolicy::new(&[], 0.1, None).unwrap_err();
    /// assert_eq!(error.hint().unwrap(), "To try once and never again, use max_attempts => 1.");
    /// ```
    pub fn new(
        schedule_micros: &[i64],
        jitter: f64,
        max_attempts: Option<i32>,
    ) -> Result<RetryPolicy, Error> {
        let refused = |fault: String, hint| Err(Error::RetrySchedule { fault, hint });
        if schedule_micros.is_empty() {
            return refused(
                "It is empty.".into(),
                "To try once and never again, use max_attempts => 1.",
            );
        }
        if schedule_micros.len() > MAX_STEPS {
            let fault = format!(
                "It has {} members and may have {MAX_STEPS}.",
                schedule_micros.len()
            );
            return refused(fault, "Use fewer and longer intervals.");
        }
        let mut schedule = Vec::with_capacity(schedule_micros.len());
        for (position, &micros) in schedule_micros.iter().enumerate() {
            let delay = Duration::from_micros(micros.max(0).unsigned_abs());
            let is_immediate = micros == 0 && position == 0;
            if delay.is_zero() && !is_immediate || delay > MAX_DELAY {
                let fault = format!("Member {} is {}.", position + 1, interval_text(micros));
                return refused(
                    fault,
                    "Each interval must be longer than 0 and at most 30 days; the first one may be 0.",
                );
            }
            schedule.push(delay);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(Error::OutOfRange {
                option: "retry_jitter",
                value: jitter.to_string(),
                allowed: "0 to 1",
                hint: "Use retry_jitter => 0.1 to move each delay by up to a tenth.",
            });
        }
        let max_attempts = match max_attempts {
            None => None,
            Some(attempts @ 1..=1000) => Some(attempts.unsigned_abs()),
            Some(attempts) => {
                return Err(Error::OutOfRange {
                    option: "max_attempts",
                    value: attempts.to_string(),
                    allowed: "1 to 1000",
                    hint: "Use max_attempts => 1 to try once; pause the subscription to send nothing.",
                });
            }
        };
        Ok(RetryPolicy {
            schedule,
            jitter,
            max_attempts,
            ..RetryPolicy::default()
        })
    }

    /// Checks the options `success` and `retry_on`.
    ///
    /// ```
    /// use herald_core::attempt::retry::RetryPolicy;
    ///
    /// let policy = RetryPolicy::default();
    /// assert!(policy.clone().with_statuses(Some(&[200, 204]), Some(&[429, 503])).is_ok());
    /// assert_eq!(
    ///     policy.with_statuses(None, Some(&[42])).unwrap_err().detail().unwrap(),
    ///     "The value is 42; allowed is 200 to 599."
    /// );
    /// ```
    pub fn with_statuses(
        self,
        success: Option<&[i32]>,
        retry_on: Option<&[i32]>,
    ) -> Result<RetryPolicy, Error> {
        let success = success
            .map(|list| {
                statuses(
                    "success",
                    list,
                    "Use success => '{200,201,202,204}', or leave it out for 2xx.",
                )
            })
            .transpose()?;
        let retry_on = retry_on
            .map(|list| {
                statuses(
                    "retry_on",
                    list,
                    "Use retry_on => '{408,429,500,502,503,504}'; to try once and never again, use max_attempts => 1.",
                )
            })
            .transpose()?;
        Ok(RetryPolicy {
            success,
            retry_on,
            ..self
        })
    }

    /// Checks the option `timeout_delay` (in microseconds).
    ///
    /// ```
    /// use herald_core::attempt::retry::RetryPolicy;
    ///
    /// assert!(RetryPolicy::default().with_timeout_delay(Some(60_000_000)).is_ok());
    /// assert!(RetryPolicy::default().with_timeout_delay(Some(0)).is_err());
    /// ```
    pub fn with_timeout_delay(self, micros: Option<i64>) -> Result<RetryPolicy, Error> {
        let most = MAX_DELAY.as_micros() as i64;
        match micros {
            Some(micros) if !(1..=most).contains(&micros) => Err(Error::OutOfRange {
                option: "timeout_delay",
                value: interval_text(micros),
                allowed: "more than 0, up to 30 days",
                hint: "Use timeout_delay => '1 min', or leave it out for the schedule's delays.",
            }),
            micros => Ok(RetryPolicy {
                timeout_delay: micros.map(|micros| Duration::from_micros(micros.unsigned_abs())),
                ..self
            }),
        }
    }

    /// Checks the option `retry_duration` (in microseconds).
    ///
    /// ```
    /// use herald_core::attempt::retry::RetryPolicy;
    ///
    /// assert!(RetryPolicy::default().with_duration(Some(3_600_000_000)).is_ok());
    /// assert!(RetryPolicy::default().with_duration(Some(-1)).is_err());
    /// ```
    pub fn with_duration(self, micros: Option<i64>) -> Result<RetryPolicy, Error> {
        let most = LONGEST.as_micros() as i64;
        match micros {
            Some(micros) if !(1..=most).contains(&micros) => Err(Error::OutOfRange {
                option: "retry_duration",
                value: interval_text(micros),
                allowed: "more than 0, up to 10 years",
                hint: "Use retry_duration => '3 h', or leave it out for the schedule's own.",
            }),
            micros => Ok(RetryPolicy {
                duration: micros.map(|micros| Duration::from_micros(micros.unsigned_abs())),
                ..self
            }),
        }
    }

    /// Returns whether a retry cannot help after this status.
    fn is_permanent(&self, status: u16) -> bool {
        let retried = self.retry_on.as_ref();
        retried.is_some_and(|retried| !retried.contains(&status))
    }

    /// Returns the jittered delay at a step of the schedule, or `None` after the last step.
    fn delay_micros(&self, step: u32, is_timeout: bool, random01: f64) -> Option<i64> {
        let delay = *self.schedule.get(usize::try_from(step).ok()?)?;
        let delay = self.timeout_delay.filter(|_| is_timeout).unwrap_or(delay);
        let random01 = if random01.is_nan() {
            0.5
        } else {
            random01.clamp(0.0, 1.0)
        };
        // Conversion from float to integer saturates, so that jitter cannot overflow.
        Some((delay.as_micros() as f64 * (1.0 + self.jitter * (2.0 * random01 - 1.0))) as i64)
    }
}

/// Checks a list of statuses that a final response can have.
fn statuses(option: &'static str, list: &[i32], hint: &'static str) -> Result<Vec<u16>, Error> {
    let refused = |value: String| Error::OutOfRange {
        option,
        value,
        allowed: "200 to 599",
        hint,
    };
    if list.is_empty() {
        return Err(refused("an empty array".into()));
    }
    if list.len() > MAX_STATUSES {
        return Err(refused(format!("an array of {} members", list.len())));
    }
    list.iter()
        .map(|status| match u16::try_from(*status) {
            Ok(known @ 200..=599) => Ok(known),
            _ => Err(refused(status.to_string())),
        })
        .collect()
}

/// What happens to a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The receiver accepted the event.
    Delivered,
    /// Try again.
    Retry {
        /// The time, in microseconds since 1970.
        at_micros: i64,
        /// The step in the schedule to store with the delivery.
        next_step: u32,
        /// The result of [`is_throttling`].
        throttle: bool,
        /// The result of [`lane_delay_until`].
        lane_delay_until: Option<i64>,
    },
    /// Give up.
    Bury(DeadReason),
    /// The receiver wants no more events: disable the subscription, and bury its open deliveries as gone.
    Disable,
}

impl Decision {
    /// Keeps a delivery at its step, as its receiver is known to be down: it is tried again then, however often it was
    /// tried. Other decisions stay.
    ///
    /// ```
    /// use herald_core::attempt::retry::{DeadReason, Decision};
    ///
    /// let retry = |at_micros, next_step| Decision::Retry { at_micros, next_step, throttle: false, lane_delay_until: None };
    /// assert_eq!(retry(5, 3).while_down(2, 9), retry(9, 2));
    /// assert_eq!(Decision::Bury(DeadReason::Exhausted).while_down(2, 9), retry(9, 2));
    /// assert_eq!(Decision::Delivered.while_down(2, 9), Decision::Delivered);
    /// ```
    #[must_use]
    pub fn while_down(self, step: u32, at_micros: i64) -> Decision {
        match self {
            Decision::Retry {
                throttle,
                lane_delay_until,
                ..
            } => Decision::Retry {
                at_micros,
                next_step: step,
                throttle,
                lane_delay_until,
            },
            Decision::Bury(DeadReason::Exhausted) => Decision::Retry {
                at_micros,
                next_step: step,
                throttle: false,
                lane_delay_until: None,
            },
            decision => decision,
        }
    }

    /// Applies the policy's duration to a delivery that began at `created_at_micros`: a retry beyond it becomes
    /// exhausted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::retry::{DeadReason, Decision, RetryPolicy};
    ///
    /// let policy = RetryPolicy::default().with_duration(Some(60_000_000)).unwrap();
    /// let retry = |at_micros| Decision::Retry { at_micros, next_step: 1, throttle: false, lane_delay_until: None };
    /// assert_eq!(retry(60_000_000).within(&policy, 0), retry(60_000_000));
    /// assert_eq!(retry(60_000_001).within(&policy, 0), Decision::Bury(DeadReason::Exhausted));
    /// ```
    #[must_use]
    pub fn within(self, policy: &RetryPolicy, created_at_micros: i64) -> Decision {
        self.until(policy.duration.map(|most| later(created_at_micros, most)))
    }

    /// Keeps to the end of all retries, if there is one: a delivery that would be tried again after it is exhausted.
    #[must_use]
    pub fn until(self, end_micros: Option<i64>) -> Decision {
        match (self, end_micros) {
            (Decision::Retry { at_micros, .. }, Some(end)) if at_micros > end => {
                Decision::Bury(DeadReason::Exhausted)
            }
            (decision, _) => decision,
        }
    }
}

/// Returns the time this much later than another.
pub fn later(micros: i64, by: Duration) -> i64 {
    micros.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// Decides what happens to a delivery after an attempt.
///
/// `attempts_made` counts every attempt ever made for the delivery, including this one. `step` is the number of the
/// schedule's delays already used; a redelivery starts again at 0. `random01` is between 0 and 1. If the delivery is
/// buried, the caller must ask [`is_throttling`] and [`lane_delay_until`] for its lane: they apply to every outcome.
///
/// ```
/// use std::time::Duration;
/// use herald_core::attempt::outcome::Outcome;
/// use herald_core::attempt::retry::{DeadReason, Decision, RetryPolicy, decide};
///
/// let outcome = Outcome::answered(500, Duration::from_millis(3), None, String::new());
/// let policy = RetryPolicy::default();
/// let retry = Decision::Retry { at_micros: 5_000_000, next_step: 1, throttle: false, lane_delay_until: None };
/// assert_eq!(decide(&outcome, &policy, 1, 0, 0, 0.5), retry);
/// assert_eq!(decide(&outcome, &policy, 10, 9, 0, 0.5), Decision::Bury(DeadReason::Exhausted));
/// ```
pub fn decide(
    outcome: &Outcome,
    policy: &RetryPolicy,
    attempts_made: u32,
    step: u32,
    now_micros: i64,
    random01: f64,
) -> Decision {
    if outcome.is_success() {
        return Decision::Delivered;
    }
    let is_wanted_again = |status| policy.retry_on.is_some() && !policy.is_permanent(status);
    match outcome.status {
        Some(410) if !is_wanted_again(410) && !policy.survives_gone => return Decision::Disable,
        Some(410) if !is_wanted_again(410) => return Decision::Bury(DeadReason::PermanentStatus),
        Some(status) if policy.is_permanent(status) => {
            return Decision::Bury(DeadReason::PermanentStatus);
        }
        _ => {}
    }
    if outcome.is_too_large() {
        return Decision::Bury(DeadReason::TooLarge);
    }
    if outcome.is_unsendable() {
        return Decision::Bury(DeadReason::Poison);
    }
    if policy
        .max_attempts
        .is_some_and(|most| attempts_made >= most)
    {
        return Decision::Bury(DeadReason::Exhausted);
    }
    let is_timeout = matches!(outcome.error, Some((ErrorClass::Timeout, _)));
    let Some(delay) = policy.delay_micros(step, is_timeout, random01) else {
        return Decision::Bury(DeadReason::Exhausted);
    };
    let lane_delay_until = lane_delay_until(outcome, now_micros);
    let at_micros = now_micros
        .saturating_add(delay)
        .max(lane_delay_until.unwrap_or(i64::MIN));
    Decision::Retry {
        at_micros,
        next_step: step + 1,
        throttle: is_throttling(outcome),
        lane_delay_until,
    }
}

/// Returns whether the receiver is overloaded, so that its lane should slow down: 429, 502, 503 or 504.
///
/// ```
/// use std::time::Duration;
/// use herald_core::{attempt::outcome::Outcome, attempt::retry::is_throttling};
///
/// assert!(is_throttling(&Outcome::answered(503, Duration::ZERO, None, String::new())));
/// assert!(!is_throttling(&Outcome::answered(500, Duration::ZERO, None, String::new())));
/// ```
pub fn is_throttling(outcome: &Outcome) -> bool {
    matches!(outcome.status, Some(429 | 502 | 503 | 504))
}

/// Returns until when a failed response's `Retry-After` closes the whole lane, in microseconds since 1970.
///
/// The header may be seconds or an HTTP date (RFC 9110, section 10.2.3). It counts for at most [`MAX_RETRY_AFTER`], and
/// is ignored if it is neither or in the past.
///
/// ```
/// use std::time::Duration;
/// use herald_core::{attempt::outcome::Outcome, attempt::retry::lane_delay_until};
///
/// let outcome = Outcome::answered(503, Duration::ZERO, Some("Thu, 01 Jan 1970 00:01:00 GMT".into()), String::new());
/// assert_eq!(lane_delay_until(&outcome, 0), Some(60_000_000));
/// ```
pub fn lane_delay_until(outcome: &Outcome, now_micros: i64) -> Option<i64> {
    if outcome.is_success() {
        return None;
    }
    let cap = MAX_RETRY_AFTER.as_micros() as i64;
    let text = outcome.retry_after.as_deref()?.trim();
    let delay = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number with too many digits means a very long time.
        text.parse::<i64>()
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000)
    } else {
        let date = httpdate::parse_http_date(text)
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?;
        i64::try_from(date.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_sub(now_micros)
    };
    (delay > 0).then(|| now_micros.saturating_add(delay.min(cap)))
}

/// Writes an interval in the largest unit that is exact, in words that PostgreSQL reads as an interval.
pub(crate) fn interval_text(micros: i64) -> String {
    let units = [
        (86_400_000_000, "days"),
        (3_600_000_000, "h"),
        (60_000_000, "min"),
        (1_000_000, "s"),
        (1_000, "ms"),
    ];
    let unit = units
        .into_iter()
        .find(|(unit, _)| micros != 0 && micros % unit == 0);
    let (unit, name) = unit.unwrap_or((1, "us"));
    format!("{} {name}", micros / unit)
}

#[cfg(test)]
mod tests;
