//! The options `split` and `sample`: of the events that a subscription wants, those that it takes.
//!
//! Part of matching, after types, tenant and filter. Both choose by a hash of the event alone, so that the choice is the
//! same whenever an event is matched again, on every server.

use serde_json::Value;

use crate::error::Error;
use crate::event::Event;
use crate::hash::hash;
use crate::subscription::options::limits::SAMPLE;
use crate::subscription::state::State;
use crate::suggest::nearest;

/// The largest weight of a member.
pub const MAX_WEIGHT: u32 = 1_000_000;
/// The maximum length of a group's name, in bytes.
const MAX_GROUP_BYTES: usize = 63;

/// The option `split`: a subscription's share in the events of a group, of which each goes to one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    pub group: Box<str>,
    /// Its share, in relation to the weights of the others.
    pub weight: u32,
    /// Members that are not active get an event only if no active one wants it.
    pub is_active: bool,
}

impl Split {
    /// Parses the option.
    ///
    /// ```
    /// use herald_core::subscription::{State, split::Split};
    ///
    /// let split = Split::parse(&serde_json::json!({"group": "ab", "weight": 20}), State::Active).unwrap();
    /// assert_eq!((&*split.group, split.weight), ("ab", 20));
    /// let error = Split::parse(&serde_json::json!({"grup": "ab"}), State::Active).unwrap_err();
    /// assert_eq!(error.hint().unwrap(), r#"Perhaps you meant "group"."#);
    /// ```
    pub fn parse(option: &Value, state: State) -> Result<Split, Error> {
        let members = option.as_object().ok_or_else(|| {
            refused(
                "It is not an object.",
                r#"Use split => '{"group": "ab", "weight": 20}'."#,
            )
        })?;
        if let Some(unknown) = members
            .keys()
            .find(|name| !["group", "weight"].contains(&name.as_str()))
        {
            let hint = match nearest(unknown, ["group", "weight"]) {
                Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                None => "Its members are group and weight.".into(),
            };
            return Err(refused(&format!("It has no member {unknown:?}."), &hint));
        }
        let group = members.get("group").and_then(Value::as_str);
        let is_name = |group: &&str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
            (1..=MAX_GROUP_BYTES).contains(&group.len()) && group.bytes().all(is_allowed)
        };
        let group = group.filter(is_name).ok_or_else(|| {
            refused(
                "Its group is not a name of 1 to 63 of the characters A-Z, a-z, 0-9, '.', '_', '/' and '-'.",
                r#"Use split => '{"group": "ab"}'."#,
            )
        })?;
        let weight = members
            .get("weight")
            .map_or(Some(1), |weight| weight.as_u64()?.try_into().ok());
        let weight = weight
            .filter(|weight| *weight <= MAX_WEIGHT)
            .ok_or_else(|| {
                refused(
                    &format!("Its weight is not an integer of 0 to {MAX_WEIGHT}."),
                    "Use a weight such as 1; the shares are in proportion to the weights.",
                )
            })?;
        Ok(Split {
            group: group.into(),
            weight,
            is_active: state == State::Active,
        })
    }

    /// Returns how far the subscription stands back for this event: the member with the least gets it.
    ///
    /// This is rendezvous hashing with weights: a member that joins, leaves or changes its weight moves only its own
    /// events, and each other event stays where it is.
    fn distance(&self, drawn: u64, subscription: i64) -> f64 {
        let number = mixed(drawn ^ mixed(subscription.unsigned_abs()));
        // A fraction of 53 bits, never 0 and never 1.
        let fraction = ((number >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -fraction.ln() / f64::from(self.weight)
    }
}

/// A member of a group that wants an event.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub subscription: i64,
    pub split: &'a Split,
    /// Whether its filter could decide.
    pub is_decided: bool,
}

/// Returns which of the members of one group gets an event; `None` if there are none.
///
/// It goes by the event's key, so that the events of a key stay together, or else by its id.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::subscription::{State, split::{Member, Split, taker}};
///
/// let split = Split::parse(&serde_json::json!({"group": "ab"}), State::Active).unwrap();
/// let members = [1, 2].map(|subscription| Member { subscription, split: &split, is_decided: true });
/// let first = Event { key: Some("7".into()), ..Event::new("1", "/shop", "order.paid", 0) };
/// let second = Event { key: Some("7".into()), ..Event::new("2", "/shop", "order.sent", 0) };
/// assert_eq!(taker(&first, members), taker(&second, members));
/// ```
pub fn taker<'a>(event: &Event, members: impl IntoIterator<Item = Member<'a>>) -> Option<i64> {
    let mut drawn = None;
    let rank = |member: Member<'a>| {
        let drawn = *drawn.get_or_insert_with(|| {
            let key = event.key.as_deref().unwrap_or(&event.id);
            hash(&[&member.split.group, key])
        });
        let distance = member.split.distance(drawn, member.subscription);
        let stands_back = !(member.split.is_active && member.is_decided);
        (stands_back, distance, member.subscription)
    };
    let ranks = members.into_iter().map(rank);
    let first = ranks.min_by(
        |(back, distance, id), (other_back, other_distance, other_id)| {
            back.cmp(other_back)
                .then(distance.total_cmp(other_distance))
                .then(id.cmp(other_id))
        },
    );
    first.map(|(_, _, subscription)| subscription)
}

/// The option `sample`: a subscription gets one in so many of the events that it would get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample(u32);

impl Sample {
    /// Checks the option.
    pub fn new(one_in: i32) -> Result<Sample, Error> {
        let one_in = SAMPLE.check(one_in.into())?;
        Ok(Sample(u32::try_from(one_in).unwrap_or(u32::MAX)))
    }

    /// Returns how many events stand behind one.
    pub fn one_in(self) -> u32 {
        self.0
    }

    /// Returns whether the event is one of them. Subscriptions with the same rate get the same events.
    ///
    /// ```
    /// use herald_core::event::Event;
    /// use herald_core::subscription::split::Sample;
    ///
    /// let sample = Sample::new(10).unwrap();
    /// let events = (0..1000).map(|number| Event::new(&number.to_string(), "/shop", "order.paid", 0));
    /// let taken = events.filter(|event| sample.includes(event)).count();
    /// assert!((70..130).contains(&taken), "{taken}");
    /// ```
    pub fn includes(self, event: &Event) -> bool {
        hash(&["sample", &event.uid]).is_multiple_of(u64::from(self.0))
    }
}

/// Mixes all bits of a number (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Option {
        option: "split",
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
