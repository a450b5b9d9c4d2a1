//! The event: one immutable CloudEvent, as read from the log. Its [`attributes`] and [`extensions`] are checked before
//! it is written, and it gets a [`uid`].
//!
//! Capture writes it and the log stores it; matching reads `type` and `tenant`, formatting reads the rest. It is plain
//! data: nothing here parses `data`, or changes an event after reading.

use std::borrow::Cow;

use serde::Deserialize;

pub mod attributes;
pub mod extensions;
pub mod uid;

/// The information that an event keeps about the session that wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Context<'a> {
    /// The role that made the change.
    #[serde(borrow)]
    pub role: Option<Cow<'a, str>>,
    /// `herald.actor`: on whose behalf.
    #[serde(borrow)]
    pub actor: Option<Cow<'a, str>>,
    /// `herald.traceparent` (W3C Trace Context).
    #[serde(borrow)]
    pub traceparent: Option<Cow<'a, str>>,
    /// `herald.tracestate`
    #[serde(borrow)]
    pub tracestate: Option<Cow<'a, str>>,
}

/// One row of `herald.event`, ready to be matched and sent.
///
/// ```
/// use herald_core::event::Event;
///
/// let event = Event {
///     subject: Some("42".into()),
///     data: Some(r#"{"total":100}"#.into()),
///     ..Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/shop", "order.paid", 1_767_323_045_000_000)
/// };
/// assert_eq!(event.id, event.uid);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The slot of the ring that holds the row.
    pub slot: i16,
    /// The row's number in the log; (slot, seq) names the row.
    pub seq: i64,
    /// A version 7 UUID as text. It is the `webhook-id`, the same on every attempt, redelivery and replay.
    pub uid: String,
    /// The CloudEvents `id`: the caller's own, or else the uid.
    pub id: String,
    /// The CloudEvents `source`, a URI-reference.
    pub source: String,
    /// The CloudEvents `type`.
    pub r#type: String,
    /// The CloudEvents `subject`.
    pub subject: Option<String>,
    /// The CloudEvents `time`, in microseconds since 1970-01-01 00:00:00 UTC.
    pub time_micros: i64,
    /// When it is to be delivered, in microseconds since 1970, if not as soon as possible.
    pub deliver_at_micros: Option<i64>,
    /// The ordering key; sent as the extension attribute `partitionkey`.
    pub key: Option<String>,
    /// The tenant that owns the event, which never reaches another tenant's subscription.
    pub tenant: Option<String>,
    /// The urgency; `normal` unless the caller gave another.
    pub priority: String,
    /// The CloudEvents `dataschema`, a URI.
    pub dataschema: Option<String>,
    /// The extension attributes as the text of a JSON object with scalar values, as made by
    /// [`check_extensions`](crate::event::extensions::check_extensions).
    pub extensions: Option<String>,
    /// The session that wrote the event, as the text of a JSON object: see [`Context`].
    pub context: Option<String>,
    /// The data as minified JSON text. Most formats send it verbatim, without parsing it again.
    pub data: Option<String>,
    /// The size of `data` in bytes, known even if `data` was not loaded.
    pub size: i32,
}

impl Event {
    /// Creates an event with only the attributes that every CloudEvent has.
    ///
    /// The id is the uid and the priority is `normal`.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/shop", "order.paid", 0);
    /// assert_eq!(event.priority, "normal");
    /// assert_eq!(event.data, None);
    /// ```
    pub fn new(uid: &str, source: &str, r#type: &str, time_micros: i64) -> Event {
        Event {
            slot: 0,
            seq: 0,
            uid: uid.into(),
            id: uid.into(),
            source: source.into(),
            r#type: r#type.into(),
            subject: None,
            time_micros,
            deliver_at_micros: None,
            key: None,
            tenant: None,
            priority: "normal".into(),
            dataschema: None,
            extensions: None,
            context: None,
            data: None,
            size: 0,
        }
    }

    /// Returns when it is of no use any longer, in microseconds since 1970: its extension `expirytime`.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = |extensions: &str| Event { extensions: Some(extensions.into()), ..Event::new("1", "/", "a.b", 0) };
    /// assert_eq!(event(r#"{"expirytime":"1970-01-01T00:00:01Z"}"#).expires_at(), Some(1_000_000));
    /// assert_eq!(event(r#"{"severity":3}"#).expires_at(), None);
    /// ```
    pub fn expires_at(&self) -> Option<i64> {
        #[derive(serde::Deserialize)]
        struct Expiry {
            expirytime: Option<String>,
        }
        let extensions = self.extensions.as_deref()?;
        if !extensions.contains("\"expirytime\"") {
            return None;
        }
        let expiry: Expiry = serde_json::from_str(extensions).ok()?;
        let time = chrono::DateTime::parse_from_rfc3339(&expiry.expirytime?).ok()?;
        Some(time.timestamp_micros())
    }

    /// Returns whether it is of no use any longer.
    pub fn is_expired(&self, now_micros: i64) -> bool {
        self.expires_at().is_some_and(|at| at <= now_micros)
    }

    /// Returns approximately how many bytes the event takes in memory.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = Event { subject: Some("x".repeat(1_000)), data: Some("y".repeat(2_000)), ..Event::new("1", "/", "a.b", 0) };
    /// assert!((3_000..3_500).contains(&event.memory()));
    /// ```
    pub fn memory(&self) -> usize {
        let texts = [
            &self.uid,
            &self.id,
            &self.source,
            &self.r#type,
            &self.priority,
        ];
        let optional = [
            &self.subject,
            &self.key,
            &self.tenant,
            &self.dataschema,
            &self.extensions,
            &self.context,
            &self.data,
        ];
        let optional = optional.into_iter().flatten();
        texts
            .into_iter()
            .chain(optional)
            .map(String::len)
            .sum::<usize>()
            + size_of::<Self>()
    }

    /// Returns the information about the session that wrote the event.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = Event { context: Some(r#"{"role":"app","actor":"ada"}"#.into()), ..Event::new("1", "/", "a.b", 0) };
    /// assert_eq!(event.context().actor.unwrap(), "ada");
    /// ```
    pub fn context(&self) -> Context<'_> {
        let context = self.context.as_deref();
        context
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default()
    }

    /// Returns an extension attribute as text: the event's own, or else its context's.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = Event { extensions: Some(r#"{"region":"eu"}"#.into()), ..Event::new("1", "/", "a.b", 0) };
    /// assert_eq!(event.extension("region").unwrap(), "eu");
    /// assert_eq!(event.extension("actor"), None);
    /// ```
    pub fn extension(&self, name: &str) -> Option<String> {
        let given = self.given_extensions();
        if let Some((_, value)) = given.into_iter().find(|(given, _)| given == name) {
            return Some(value);
        }
        let context = self.context();
        let value = match name {
            "role" => context.role,
            "actor" => context.actor,
            "traceparent" => context.traceparent,
            "tracestate" => context.tracestate,
            _ => None,
        };
        value.map(Cow::into_owned)
    }

    /// Returns the event's own extension attributes as text (CloudEvents 1.0, "Type System").
    pub fn given_extensions(&self) -> Vec<(String, String)> {
        let given = self.extensions.as_deref();
        let given: serde_json::Map<String, serde_json::Value> = given
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        given
            .into_iter()
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect()
    }
    /// Returns the event as one that stands for so many (CloudEvents extension "Sampling"): its `sampledrate` is multiplied
    /// by that.
    ///
    /// ```
    /// use herald_core::event::Event;
    ///
    /// let event = Event { extensions: Some(r#"{"region":"eu"}"#.into()), ..Event::new("1", "/", "a.b", 0) };
    /// assert_eq!(event.sampled(10).extensions.unwrap(), r#"{"region":"eu","sampledrate":10}"#);
    /// ```
    #[must_use]
    pub fn sampled(&self, one_in: u32) -> Event {
        const RATE: &str = "sampledrate";
        let given = self.extensions.as_deref();
        let mut extensions: serde_json::Map<String, serde_json::Value> = given
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let former = extensions.get(RATE).and_then(serde_json::Value::as_u64);
        let rate = former.unwrap_or(1).max(1).saturating_mul(one_in.into());
        // An Integer of CloudEvents has 32 bits.
        let rate = rate.min(i32::MAX.unsigned_abs().into());
        extensions.insert(RATE.into(), rate.into());
        Event {
            extensions: Some(serde_json::Value::Object(extensions).to_string()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_event_stands_for_what_its_sender_left_out_too() {
        let rate = |given: Option<&str>, one_in| {
            let event = Event {
                extensions: given.map(Into::into),
                ..Event::new("1", "/", "a.b", 0)
            };
            event.sampled(one_in).extension("sampledrate").unwrap()
        };
        assert_eq!(rate(None, 10), "10");
        assert_eq!(rate(Some(r#"{"sampledrate":5}"#), 10), "50");
        assert_eq!(rate(Some(r#"{"sampledrate":"often"}"#), 10), "10");
        assert_eq!(rate(Some(r#"{"sampledrate":0}"#), 10), "10");
        assert_eq!(
            rate(Some(r#"{"sampledrate":2000000000}"#), 10),
            "2147483647"
        );
    }
}
