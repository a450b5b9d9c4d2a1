//! The options of a subscription, each declared once: name, type, default, limits and meaning.
//!
//! The declaration yields the arguments of `subscribe`, the columns of `herald.subscription`, the options of `apply`,
//! and the table in the reference. Options are stored as one document, which `subscribe` validates and the worker
//! compiles into a [`Subscription`](crate::subscription::Subscription). Both use [`SubscriptionOptions::compile`], so
//! that `subscribe` stores only documents that the worker accepts. `Debug` must never show a secret, a header's value
//! or the url.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::signing::auth::SECRET_MEMBERS;
use crate::subscription::members::Members;
use crate::subscription::secrets::HIDDEN;
use crate::subscription::state::State;
use crate::suggest::nearest;
use declared::options;
use limits::{
    DEAD_LETTER_RETENTION, MAX_AGE, MAX_BACKLOG, MAX_BLOCK, MAX_CONCURRENCY, MAX_PAYLOAD, SAMPLE,
    TIMEOUT,
};

mod declared;
mod interval;
pub(crate) mod limits;
mod value;

pub use declared::Declared;
pub use interval::interval_micros;
pub use value::{Json, OptionValue, Span};

/// Options by name, as JSON that keeps all digits of numbers.
pub type Document = BTreeMap<String, Box<RawValue>>;

/// The maximum size of a subscription's options together, in bytes, checked before any is read.
pub const MAX_OPTIONS_BYTES: i32 = 1_048_576;

/// The options that decide which events a subscription gets, beside its types and its tenant.
pub const SELECTING: [&str; 4] = ["filter", "split", "sample", "active_hours"];

options! {
    /// A subscription's options as plain, unchecked data, with the other fields that a
    /// [`Subscription`](crate::subscription::Subscription) needs.
    ///
    /// ```
    /// use herald_core::egress::url_policy::UrlPolicy;
    /// use herald_core::subscription::{SubscriptionOptions, options::Span};
    ///
    /// let options = SubscriptionOptions { timeout: Span(10), ..SubscriptionOptions::new("shop", "https://example.com/") };
    /// let error = options.validate(&UrlPolicy::default()).unwrap_err();
    /// assert_eq!(error.message(), "timeout is out of range");
    /// assert_eq!(error.detail().unwrap(), "The value is 10 us; allowed is 100 ms to 5 min.");
    /// ```
    #[derive(Clone, PartialEq)]
    pub struct SubscriptionOptions {
        /// The immutable id.
        pub id: i64 = 0,
        /// The name, 1 to 63 of `A-Za-z0-9._/-`.
        pub name: String = String::new(),
        /// The signing secrets, the current one first. Without any, the subscription can be stored but not sent to.
        pub signing_secrets: Vec<String> = Vec::new(),
        /// The setting `herald.request_origin`.
        pub request_origin: String = String::new(),
        /// The rate that the receiver consented to, in deliveries per minute.
        pub rate: Option<u32> = None,
        /// How often the url or the handshake has changed.
        pub generation: i32 = 0,
        /// What happens to matching events.
        pub state: State = State::Active,
    }

    /// where requests go; required for a new subscription. Only `https`, on port 443, to public addresses, unless
    /// [settings](#settings) allow more. Path and query may have [placeholders](#placeholders)
    url: String = "\"\"" as " ", "2,048 bytes";
    /// the event types to match: `*` stands for any characters, including dots; case matters. Types that begin with `herald.`
    /// match only members that begin with `herald.`
    types: Vec<String> = "[\"*\"]", "1 to 1,000 members of at most 1,024 bytes, 65,536 bytes in all";
    /// which of these events it gets, by their attributes and data: see [Filters](filters.md)
    filter: Option<Json> = "null" as "all", "an object or an array of objects, of 65,536 bytes in all";
    /// gets only this [tenant's](#tenants) events; without a tenant, all
    tenant: Option<String> = "null" as "none, or the tenant in the name", "255 bytes, no leading or trailing white space";
    /// its share in the events of a group, each of which goes to one member: see [Split](filters.md#split)
    split: Option<Value> = "null", "an object: `group` (1 to 63 of `A-Z a-z 0-9 . _ / -`) and `weight` (0 to 1,000,000; 1 if it is missing); 100 members per group";
    /// of the events that it would get, one in so many: see [Sample](filters.md#sample)
    sample: Option<i32> = "null" as "all", SAMPLE.allowed;
    /// an object of strings, added to each request. Values are kept as secrets and may have [placeholders](#placeholders).
    /// Reserved are `webhook-*`, `ce-*`, `cloudevents-*`, `proxy-*`, `content-type` and others that pg_herald sets
    headers: Option<Members> = "null", "32, of 8,192 bytes in all", secret |_| true;
    /// the request method
    method: String = "\"POST\"", "`POST`, `PUT`, `PATCH`";
    /// the form of the body
    format: String = "\"structured\"", "see [formats](#formats)";
    /// the [template](#templates) of the format `template`; not for [tenants](#tenants)
    template: Option<String> = "null", "65,536 bytes";
    /// the media type, for the formats `structured`, `batched`, `raw` and `template`
    content_type: Option<String> = "null" as "that of the [format](#formats); `application/json` with a [preset](signatures.md) of `signing`",
        "a media type of at most 256 bytes";
    /// how much is sent: the attributes without data; with data; also with `actor`, `role`, `sequence` and `recordedtime`. For
    /// formats with attributes or an envelope
    profile: String = "\"standard\"", "`minimal`, `standard`, `detailed`";
    /// sends an event whose body is larger than `max_payload` in the next smaller profile instead of burying it
    shrink: bool = "false", "";
    /// how the body is compressed; the signature covers the compressed bytes
    compression: String = "\"none\"", "`none`, `gzip`";
    /// the header `user-agent`
    user_agent: Option<String> = "null" as "`pg_herald/` and the version", "256 visible ASCII characters";
    /// how requests are signed: see [Signatures](signatures.md). If the current secret does not fit, give `secret` too
    signing: Value = "\"standard\"" as "`\"standard\"`",
        "a preset, or an object of parts of at most 256 bytes each; `content` has `{body}` once";
    /// [credentials](#credentials) sent beside the signature
    auth: Option<Members> = "null", "an object of strings of at most 8,192 bytes each",
        secret |member| SECRET_MEMBERS.contains(&member);
    /// an object of strings that `url` and values of `headers` name as `{secret.NAME}`, and a template as `secrets.NAME`: see
    /// [secrets](#secrets)
    secrets: Option<Members> = "null", "32, each of 8 to 2,048 visible ASCII characters", secret |_| true;
    /// the receiver must [consent](#handshake) first
    handshake: Option<Value> = "null",
        "an object: `rate` (1 to 10,000,000 per minute), `callback` (a URL of at most 2,048 bytes)";
    /// an object with `ca` (authorities to trust beside the server's), and `certificate` (with its chain) and `key`, shown to
    /// receivers that ask. Kept as secrets, replaced as a whole
    tls: Option<Members> = "null", "PEM, each member at most 262,144 bytes", secret |_| true;
    /// the time limit of an attempt, from name look-up to last byte
    timeout: Span = "\"30 s\"", TIMEOUT.allowed;
    /// the delays between attempts; [backoff](#backoff) makes a growing schedule
    retry_schedule: Vec<Span> = "[\"5 s\",\"5 min\",\"30 min\",\"2 h\",\"5 h\",\"10 h\",\"14 h\",\"20 h\",\"24 h\"]",
        "1 to 100 members, each over 0 and up to 30 days; the first may be 0";
    /// how much each delay varies at random, as a fraction of it
    retry_jitter: f64 = "0.1", "0 to 1";
    /// a cap on all attempts of a delivery; 1 means no retries
    max_attempts: Option<i32> = "null", "1 to 1,000";
    /// the statuses that count as success
    success: Option<Vec<i32>> = "null" as "2xx", "1 to 400 statuses of 200 to 599";
    /// the statuses that are retried; after other failures, a delivery becomes a dead letter (`permanent_status`). Attempts
    /// without an answer are always retried
    retry_on: Option<Vec<i32>> = "null" as "all except success", "1 to 400 statuses of 200 to 599";
    /// the effect of a 410, unless `success` or `retry_on` names it: `disable` the subscription, as Standard Webhooks
    /// specifies, or make the delivery a `dead` letter (`permanent_status`)
    gone: String = "\"disable\"", "`disable`, `dead`";
    /// the delay after an attempt that timed out, instead of the schedule's
    timeout_delay: Option<Span> = "null", "over 0, up to 30 days";
    /// how long after its match a delivery is retried; then it is `exhausted`
    retry_duration: Option<Span> = "null", "over 0, up to 10 years";
    /// concurrent requests
    max_concurrency: i32 = "10", MAX_CONCURRENCY.allowed;
    /// the most requests in a time, evenly: see [Rates](flow.md#rates)
    rate_limit: Option<String> = "null", "1 to 1,000,000 `/s`, `/min`, `/h` or `/day`, as `10/s`; then perhaps `burst` and 1 to 1,000,000";
    /// which deliveries wait until earlier ones are delivered or dead: see [Order](flow.md#order)
    ordering: String = "\"none\"", "`none`, `key`, `strict`";
    /// with `ordering`, a dead letter holds its key until it is redelivered or [skipped](#skip)
    dead_blocks: bool = "false", "";
    /// with `ordering`, how long a delivery may hold its key after its first attempt; then it is `exhausted`
    max_block: Option<Span> = "null", MAX_BLOCK.allowed;
    /// the times of day at which it is sent to: see [Hours](flow.md#hours)
    active_hours: Option<Value> = "null" as "always", "an object: `zone`, `days`, `except`, `outside`";
    /// when the receiver counts as down, and how it is tried meanwhile: see [Breaker](flow.md#breaker)
    breaker: Option<Value> = "null" as "none", "an object: `failures`, `ratio`, `window`, `probe`, `probe_with`, `probe_every`, `disable_after`";
    /// the largest body; events with larger bodies become dead letters (`too_large`)
    max_payload: i32 = "262144", MAX_PAYLOAD.allowed;
    /// a pending delivery older than this becomes a dead letter (`expired`) when it would be sent
    max_age: Option<Span> = "null", MAX_AGE.allowed;
    /// the most pending deliveries; beyond it, checked once per second, the newest become dead letters (`discarded`)
    max_backlog: Option<i64> = "null", MAX_BACKLOG.allowed;
    /// how long dead letters are kept
    dead_letter_retention: Span = "\"30 days\"", DEAD_LETTER_RETENTION.allowed;
    /// `failed` keeps the method, URL, headers and body of failed requests in `herald.attempt.request`, and of the last request
    /// in the dead letter: at most 8,192 bytes, with `***` for secrets
    keep_request: String = "\"none\"", "`none`, `failed`";
    /// its purpose, for people
    description: Option<String> = "null", "1,000 characters";
}

impl SubscriptionOptions {
    /// Creates options with the defaults for all but the name and the url, and without a secret.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, egress::url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions::new("shop", "https://example.com/");
    /// assert_eq!(options.validate(&UrlPolicy::default()), Ok(()));
    /// ```
    pub fn new(name: &str, url: &str) -> SubscriptionOptions {
        SubscriptionOptions {
            name: name.into(),
            url: url.into(),
            ..SubscriptionOptions::with_defaults()
        }
    }

    /// Sets the options in a stored document. Other options keep their values.
    ///
    /// ```
    /// use herald_core::subscription::options::{Span, SubscriptionOptions};
    ///
    /// let options = SubscriptionOptions::new("shop", "https://example.com/").with_document(r#"{"timeout": "00:00:05"}"#);
    /// assert_eq!(options.unwrap().timeout, Span(5_000_000));
    /// ```
    pub fn with_document(mut self, json: &str) -> Result<SubscriptionOptions, Error> {
        for (name, value) in &document(json)? {
            self.set(name, value.get())?;
        }
        Ok(self)
    }

    /// Sets those options in a stored document that decide which events the subscription gets, as far as they can be
    /// read. Others, and a document that cannot be read, are ignored.
    ///
    /// ```
    /// use herald_core::subscription::SubscriptionOptions;
    ///
    /// let stored = r#"{"sample": 10, "split": {"group": "ab"}, "timeout": "soon"}"#;
    /// let options = SubscriptionOptions::new("shop", "").with_selecting(stored);
    /// assert_eq!(options.sample, Some(10));
    /// ```
    #[must_use]
    pub fn with_selecting(mut self, json: &str) -> SubscriptionOptions {
        // What cannot be read keeps its default, which refuses nothing.
        let _ = self.take_selecting(json);
        self
    }

    /// Sets those options, as [`with_selecting`](Self::with_selecting) does. Returns the last fault.
    pub(crate) fn take_selecting(&mut self, json: &str) -> Result<(), Error> {
        let stored = document(json)?;
        let mut taken = Ok(());
        for name in SELECTING {
            if let Some(value) = stored.get(name) {
                taken = self.set(name, value.get()).and(taken);
            }
        }
        taken
    }

    /// Replaces the named secrets, which the url, headers and template use, with `***`.
    pub fn without_named_secrets(mut self) -> SubscriptionOptions {
        for value in self.secrets.iter_mut().flat_map(Members::values_mut) {
            HIDDEN.clone_into(value);
        }
        self
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionOptions")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Parses a document of options.
pub fn document(json: &str) -> Result<Document, Error> {
    serde_json::from_str(json).map_err(|error| Error::Option {
        option: "subscription",
        fault: format!("Its options cannot be read: {error}."),
        hint: "Set them again with herald.subscribe().".into(),
    })
}

/// Returns the error for an option that does not exist.
pub(crate) fn unknown_option(name: &str) -> Error {
    Error::UnknownOption {
        name: name.to_owned(),
        nearest: nearest(name, OPTIONS.iter().map(|option| option.name)),
    }
}

fn read_default<T: OptionValue>(option: &'static str, json: &str) -> T {
    T::read_json(option, json).expect("a declared default is a value")
}

#[cfg(test)]
mod tests;
