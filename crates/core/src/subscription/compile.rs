//! Compiles options into a [`Subscription`], with all checks.

use std::sync::Arc;
use std::time::Duration;

use crate::attempt::retry::RetryPolicy;
use crate::egress::url_policy::UrlPolicy;
use crate::error::Error;
use crate::event::attributes::check_tenant;
use crate::filter::Filter;
use crate::request::style::Style;
use crate::request::target::Target;
use crate::signing::Signing;
use crate::signing::scheme::Scheme;
use crate::subscription::breaker::{BreakerPolicy, ProbeWith};
use crate::subscription::compiled::Subscription;
use crate::subscription::globs::TypeGlobs;
use crate::subscription::headers::Headers;
use crate::subscription::hours::ActiveHours;
use crate::subscription::members::Members;
use crate::subscription::options::limits::{
    DEAD_LETTER_RETENTION, MAX_AGE, MAX_BACKLOG, MAX_BLOCK, MAX_CONCURRENCY, MAX_PAYLOAD, TIMEOUT,
    choice,
};
use crate::subscription::options::{Span, SubscriptionOptions};
use crate::subscription::ordering::{OrderedBy, Ordering};
use crate::subscription::rate::Rate;
use crate::subscription::secrets::NamedSecrets;
use crate::subscription::split::{Sample, Split};
use crate::subscription::wanted::Wanted;
use crate::suggest::nearest;

/// The maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 1_000;
/// The maximum size of each member of the option `tls`, in bytes of PEM.
const MAX_PEM_BYTES: usize = 262_144;

impl SubscriptionOptions {
    /// Checks all options as [`compile`](Self::compile) does.
    pub fn validate(&self, policy: &UrlPolicy) -> Result<(), Error> {
        self.compile(policy).map(drop)
    }

    /// Returns whether the options in a stored document that decide which events the subscription gets can be read.
    ///
    /// ```
    /// use herald_core::subscription::SubscriptionOptions;
    ///
    /// assert!(SubscriptionOptions::can_select(r#"{"sample": 10, "timeout": "soon"}"#));
    /// assert!(!SubscriptionOptions::can_select(r#"{"sample": 0}"#));
    /// assert!(!SubscriptionOptions::can_select(r#"{"split": 7}"#));
    /// ```
    pub fn can_select(json: &str) -> bool {
        let mut options = SubscriptionOptions::new("", "");
        options.take_selecting(json).is_ok()
            && options.filter().is_ok()
            && options.split().is_ok()
            && options.sample().is_ok()
            && options.hours().is_ok()
    }

    /// Returns which events the subscription gets. What cannot be read refuses none.
    pub fn readable_wanted(&self) -> Wanted {
        Wanted {
            split: self.split().ok().flatten(),
            sample: self.sample().ok().flatten(),
            hours: self.hours().ok().flatten().filter(|hours| hours.skips),
            ..Wanted::new(
                &self.types,
                self.tenant.clone(),
                self.filter().ok().flatten(),
            )
        }
    }

    /// Returns the part of an invalid subscription that matching needs: matching events are held until it compiles.
    /// Other options are ignored. If its types or its filter cannot be read, it does without them, to miss no event.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, egress::url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions { types: vec![], max_payload: -1, ..SubscriptionOptions::new("", "") };
    /// assert!(options.compile(&UrlPolicy::default()).is_err());
    /// assert!(options.held().wanted.types.matches("order.paid"));
    /// ```
    pub fn held(&self) -> Subscription {
        let defaults = SubscriptionOptions::new("held", "https://held.invalid/");
        let compiled = defaults.compile(&UrlPolicy::default());
        Subscription {
            id: self.id,
            name: self.name.clone(),
            wanted: Arc::new(self.readable_wanted()),
            state: self.state,
            ..compiled.expect("the defaults are valid")
        }
    }

    /// Checks all options and compiles them once, for many events.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, egress::url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions::new("shop", "https://Example.com");
    /// let subscription = options.compile(&UrlPolicy::default()).unwrap();
    /// assert_eq!(subscription.target.origin(), "https://example.com/");
    /// ```
    pub fn compile(&self, policy: &UrlPolicy) -> Result<Subscription, Error> {
        check_name(&self.name)?;
        self.tenant.as_deref().map_or(Ok(()), check_tenant)?;
        self.check_description()?;
        DEAD_LETTER_RETENTION.check(self.dead_letter_retention.0)?;
        let secrets = NamedSecrets::new(self.secrets.clone().unwrap_or_default())?;
        let target = Target::parse(&secrets.fill_url(&self.url)?, policy)?;
        let headers = self.headers.iter().flatten().map(|(name, value)| {
            let filled = secrets.fill_header(name, value)?;
            Ok((name.clone(), filled))
        });
        let headers = Headers::parse(&headers.collect::<Result<_, Error>>()?)?;
        let (style, scheme) = Style::compile(self, &headers, &secrets, policy)?;
        let breaker = self.breaker(scheme.as_ref())?;
        let (skipped, active_hours) = match self.hours()? {
            Some(hours) if hours.skips => (Some(hours), None),
            hours => (None, hours),
        };
        let micros = |span: Option<Span>| span.map(|span| span.0);
        let schedule: Vec<i64> = self.retry_schedule.iter().map(|delay| delay.0).collect();
        let retry = RetryPolicy::new(&schedule, self.retry_jitter, self.max_attempts)?
            .with_statuses(self.success.as_deref(), self.retry_on.as_deref())?
            .with_timeout_delay(micros(self.timeout_delay))?
            .with_duration(micros(self.retry_duration))?;
        Ok(Subscription {
            id: self.id,
            name: self.name.clone(),
            target,
            wanted: Arc::new(Wanted {
                types: TypeGlobs::parse(&self.types)?,
                tenant: self.tenant.clone(),
                filter: self.filter()?,
                split: self.split()?,
                sample: self.sample()?,
                hours: skipped,
            }),
            headers,
            style,
            secrets,
            signing: Signing::new(scheme, &self.signing_secrets)?,
            keeps_failed: choice(
                "keep_request",
                &self.keep_request,
                &[("none", false), ("failed", true)],
            )?,
            timeout: Duration::from_micros(TIMEOUT.check(self.timeout.0)?),
            retry: RetryPolicy {
                survives_gone: choice("gone", &self.gone, &[("disable", false), ("dead", true)])?,
                ..retry
            },
            max_concurrency: MAX_CONCURRENCY.check(self.max_concurrency.into())? as usize,
            max_payload: MAX_PAYLOAD.check(self.max_payload.into())? as usize,
            max_age: MAX_AGE
                .check_optional(micros(self.max_age))?
                .map(Duration::from_micros),
            max_backlog: MAX_BACKLOG.check_optional(self.max_backlog)?,
            ordering: self.ordering()?,
            active_hours,
            breaker,
            rate: self.rate,
            rate_limit: self
                .rate_limit
                .as_deref()
                .map(|text| Rate::parse("rate_limit", text))
                .transpose()?,
            generation: self.generation,
            state: self.state,
        })
    }

    fn filter(&self) -> Result<Option<Filter>, Error> {
        let filter = self.filter.as_ref();
        filter.map(|json| Filter::parse(&json.0)).transpose()
    }

    fn split(&self) -> Result<Option<Split>, Error> {
        let split = self.split.as_ref();
        split
            .map(|option| Split::parse(option, self.state))
            .transpose()
    }

    fn sample(&self) -> Result<Option<Sample>, Error> {
        self.sample.map(Sample::new).transpose()
    }

    fn ordering(&self) -> Result<Option<Ordering>, Error> {
        let max_block = MAX_BLOCK.check_optional(self.max_block.map(|span| span.0))?;
        let by = OrderedBy::parse(&self.ordering)?;
        let unused = match by {
            Some(_) => None,
            None if self.dead_blocks => Some("dead_blocks"),
            None => max_block.map(|_| "max_block"),
        };
        if let Some(option) = unused {
            return Err(Error::Option {
                option,
                fault: "It needs an order, and ordering is \"none\".".into(),
                hint: format!("Use ordering => 'key' too, or leave {option} out."),
            });
        }
        Ok(by.map(|by| Ordering {
            by,
            dead_blocks: self.dead_blocks,
            max_block: max_block.map(Duration::from_micros),
        }))
    }

    fn hours(&self) -> Result<Option<Arc<ActiveHours>>, Error> {
        let hours = self.active_hours.as_ref().map(ActiveHours::parse);
        Ok(hours.transpose()?.map(Arc::new))
    }

    /// Refuses probes that cannot be signed.
    fn breaker(&self, scheme: Option<&Scheme>) -> Result<Option<BreakerPolicy>, Error> {
        let breaker = self
            .breaker
            .as_ref()
            .map(BreakerPolicy::parse)
            .transpose()?;
        let has_own_probes = breaker.is_some_and(|it| it.probe_with != ProbeWith::Delivery);
        let signs_json =
            scheme.is_some_and(|it| it.canonical.is_some() || it.body_member.is_some());
        if has_own_probes && signs_json {
            return Err(Error::Option {
                option: "breaker",
                fault: "Its probes have no body, and the signature needs one in JSON.".into(),
                hint: "Leave probe_with out, to try the next delivery.".into(),
            });
        }
        Ok(breaker)
    }

    fn check_description(&self) -> Result<(), Error> {
        let characters = self
            .description
            .as_deref()
            .map_or(0, |text| text.chars().count());
        if characters > MAX_DESCRIPTION {
            return Err(Error::Option {
                option: "description",
                fault: format!("It has {characters} characters; allowed are {MAX_DESCRIPTION}."),
                hint: "Keep what is longer elsewhere, and its address in here.".into(),
            });
        }
        Ok(())
    }
}

/// Checks the names and sizes of the members of `tls`. Only TLS itself can check their PEM.
pub fn check_tls(members: &Members) -> Result<(), Error> {
    const NAMES: [&str; 3] = ["ca", "certificate", "key"];
    let refused = |fault: String, hint: String| Error::Option {
        option: "tls",
        fault,
        hint,
    };
    for (name, pem) in members {
        if !NAMES.contains(&name.as_str()) {
            return Err(refused(
                format!(
                    "It has no member {name:?}; its members are ca, certificate and key, each in PEM."
                ),
                match nearest(name, NAMES) {
                    Some(nearest) => format!("Perhaps you meant {nearest:?}."),
                    None => "Leave it out.".into(),
                },
            ));
        }
        if pem.is_empty() {
            let hint = "Leave out what you do not want.";
            return Err(refused("A member is empty.".into(), hint.into()));
        }
        if pem.len() > MAX_PEM_BYTES {
            return Err(refused(
                format!(
                    "A member has {} bytes; allowed are {MAX_PEM_BYTES}.",
                    pem.len()
                ),
                "Give only the certificates that are needed.".into(),
            ));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    // A name of digits alone would be an id.
    let is_id = name.bytes().all(|byte| byte.is_ascii_digit());
    if (1..=63).contains(&name.len()) && name.bytes().all(is_allowed) && !is_id {
        Ok(())
    } else {
        Err(Error::SubscriptionName { name: name.into() })
    }
}
