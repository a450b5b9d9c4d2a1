//! The worker's copy of the subscriptions, and which of them an event goes to.

use crate::log::read::Window;
use crate::log::row::Logged;
use crate::prepared::Prepared;
use crate::settings::{self, UrlPolicies};
use crate::vault::Vault;
use herald_core::error::Error;
use herald_core::matcher::Matcher;
use herald_core::snapshot::Snapshot;
use herald_core::style::StyleOptions;
use herald_core::subscription::{State, Subscription, SubscriptionOptions};
use herald_core::tenants::{OverQuota, Quota};
use herald_core::url_policy::UrlPolicy;
use herald_sender::{AgentKey, TlsProfile};
use pgrx::prelude::*;
use pgrx::spi::{SpiClient, SpiTupleTable};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One subscription, and since when it is there.
#[derive(Debug)]
pub struct Loaded {
    pub config: Arc<Subscription>,
    pub agent: AgentKey,
    created_xid: u64,
    created_snapshot: Snapshot,
    created_seq: i64,
    /// Its receiver has to consent first, and has not.
    pub lacks_consent: bool,
    /// Why nothing can be sent although the subscription is active: its secret is gone, or its URL is not allowed any more.
    pub obstacle: Option<String>,
    /// When the first of its secrets ends, in microseconds since 1970.
    secret_ends_at: Option<i64>,
}

/// Subscriptions that are read in one go.
const READ_AT_ONCE: usize = 500;

/// All subscriptions, as of one snapshot.
#[derive(Debug)]
pub struct Subscriptions {
    /// A subscription keeps its place as long as it exists: the matcher knows it by that.
    places: Vec<Option<Loaded>>,
    free_places: Vec<usize>,
    by_id: HashMap<i64, usize>,
    matcher: Matcher,
    pub snapshot: Snapshot,
    /// The largest data that any of them takes.
    pub largest: i32,
    /// What the plans of tenants allow, and until when: the end of the month.
    pub quotas: HashMap<Arc<str>, Quota>,
    quotas_end_at: i64,
    first_secret_ends_at: i64,
    /// Those whose receivers have to be asked first.
    pub without_consent: Vec<i64>,
    /// What has to be read although no notice in the database says so.
    demanded: Wanted,
    /// What was read, and is not taken over by the lanes.
    changed: Changed,
}

/// What has to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub everything: bool,
    pub quotas: bool,
    pub ids: BTreeSet<i64>,
}

impl Wanted {
    pub fn is_empty(&self) -> bool {
        !self.everything && !self.quotas && self.ids.is_empty()
    }
}

/// What was read: subscriptions that are new, changed or removed, and whether the quotas of tenants were.
#[derive(Debug, Default)]
pub struct Changed {
    pub ids: Vec<i64>,
    pub quotas: bool,
}

impl Subscriptions {
    /// None yet: the first look reads them.
    pub fn unloaded() -> Self {
        Self {
            places: Vec::new(),
            free_places: Vec::new(),
            by_id: HashMap::new(),
            matcher: Matcher::default(),
            snapshot: Snapshot::before_everything(),
            largest: 0,
            quotas: HashMap::new(),
            quotas_end_at: i64::MAX,
            first_secret_ends_at: i64::MAX,
            without_consent: Vec::new(),
            demanded: Wanted {
                everything: true,
                ..Wanted::default()
            },
            changed: Changed::default(),
        }
    }

    /// All of them, as the caller's transaction sees them.
    pub fn load(client: &mut SpiClient<'_>, policies: &UrlPolicies) -> Self {
        let mut subscriptions = Self::unloaded();
        let wanted = subscriptions.demanded.clone();
        subscriptions.refresh(client, Snapshot::before_everything(), &wanted, policies);
        subscriptions
    }

    /// One of them, as the caller's transaction sees it.
    pub fn load_one(client: &mut SpiClient<'_>, id: i64, policies: &UrlPolicies) -> Option<Loaded> {
        read_rows(client, &[id], policies).pop()
    }

    /// What has to be read although no notice says so: nothing was yet, a secret's grace is over, or a month.
    pub fn wanted(&self, now_micros: i64) -> Wanted {
        let mut wanted = self.demanded.clone();
        wanted.quotas |= self.quotas_end_at <= now_micros;
        if self.first_secret_ends_at <= now_micros {
            let ended = self
                .iter()
                .filter(|one| one.secret_ends_at.is_some_and(|end| end <= now_micros));
            wanted.ids.extend(ended.map(|one| one.config.id));
        }
        wanted
    }

    /// Has all of them read again with the next look: what they depend on beside the database may have changed.
    pub fn expire(&mut self) {
        self.demanded.everything = true;
    }

    /// Has the quotas of tenants read again with the next look.
    pub fn expire_quotas(&mut self) {
        self.demanded.quotas = true;
    }

    /// Whether there are none. Disabled ones count: what they missed goes by the looks that were made meanwhile.
    pub fn is_nobody_there(&self) -> bool {
        self.by_id.is_empty() && self.demanded.is_empty()
    }

    /// Reads what is wanted in the caller's transaction, whose snapshot is `snapshot`. What it costs depends on how much is
    /// wanted, not on how many there are.
    pub fn refresh(
        &mut self,
        client: &mut SpiClient<'_>,
        snapshot: Snapshot,
        wanted: &Wanted,
        policies: &UrlPolicies,
    ) {
        if wanted.everything || wanted.quotas {
            (self.quotas, self.quotas_end_at) = load_quotas(client);
            self.changed.quotas = true;
        }
        let mut ids = wanted.ids.clone();
        if wanted.everything {
            ids.extend(find_all(client));
            ids.extend(self.by_id.keys());
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        for ids in ids.chunks(READ_AT_ONCE) {
            let mut read: HashMap<i64, Loaded> = read_rows(client, ids, policies)
                .into_iter()
                .map(|one| (one.config.id, one))
                .collect();
            for id in ids {
                self.put(*id, read.remove(id));
            }
            self.changed.ids.extend(ids);
        }
        self.demanded = Wanted::default();
        self.snapshot = snapshot;
        self.summarize();
    }

    /// What was read and not asked for here before.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    pub fn has_changed(&self) -> bool {
        self.changed.quotas || !self.changed.ids.is_empty()
    }

    /// Makes this the subscription with the id; `None` where it does not exist any more.
    fn put(&mut self, id: i64, loaded: Option<Loaded>) {
        let place = self.by_id.get(&id).copied();
        if let Some(place) = place
            && let Some(former) = self.places[place].take()
        {
            self.matcher.remove(place, &former.config);
        }
        match (place, loaded) {
            (None, None) => {}
            (Some(place), None) => {
                self.by_id.remove(&id);
                self.free_places.push(place);
            }
            (place, Some(loaded)) => {
                let place = place.or_else(|| self.free_places.pop()).unwrap_or_else(|| {
                    self.places.push(None);
                    self.places.len() - 1
                });
                self.matcher.insert(place, &loaded.config);
                self.by_id.insert(id, place);
                self.places[place] = Some(loaded);
            }
        }
    }

    /// Finds what concerns all of them together.
    fn summarize(&mut self) {
        let (mut largest, mut first_end, mut without_consent) = (0, i64::MAX, Vec::new());
        for one in self.iter() {
            largest = largest.max(one.config.max_payload);
            first_end = first_end.min(one.secret_ends_at.unwrap_or(i64::MAX));
            if one.lacks_consent && one.config.state == State::Active {
                without_consent.push(one.config.id);
            }
        }
        self.largest = i32::try_from(largest).unwrap_or(i32::MAX);
        self.first_secret_ends_at = first_end;
        self.without_consent = without_consent;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.places.iter().flatten()
    }

    pub fn by_id(&self, id: i64) -> Option<&Loaded> {
        self.places[*self.by_id.get(&id)?].as_ref()
    }

    /// The subscriptions that an event of this window goes to.
    pub fn matching<'a>(
        &'a self,
        logged: &'a Logged,
        window: &'a Window,
        found: &'a mut Vec<usize>,
    ) -> impl Iterator<Item = &'a Loaded> {
        self.matcher
            .matching_into(&logged.event.r#type, logged.event.tenant.as_deref(), found);
        found
            .iter()
            .filter_map(|place| self.places[*place].as_ref())
            .filter(move |one| one.was_there_for(logged, window))
    }
}

fn find_all(client: &mut SpiClient<'_>) -> Vec<i64> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/find_subscriptions.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    let mut ids = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        ids.extend(rows.get::<i64>(1).ok().flatten());
    }
    ids
}

/// Those of these subscriptions that exist.
fn read_rows(client: &mut SpiClient<'_>, ids: &[i64], policies: &UrlPolicies) -> Vec<Loaded> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/load_subscriptions.sql"));
    let mut rows = STATEMENT.run(client, vec![ids.to_vec().into()]);
    let vault = Vault::default();
    let mut loaded = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        match Loaded::read(&rows, policies, &vault) {
            Ok(Some(one)) => loaded.push(one),
            Ok(None) => pgrx::warning!("pg_herald: a subscription could not be read"),
            Err(error) => {
                pgrx::warning!("pg_herald: a subscription could not be read: {error}")
            }
        }
    }
    loaded
}

impl Loaded {
    fn read(
        row: &SpiTupleTable<'_>,
        policies: &UrlPolicies,
        vault: &Vault,
    ) -> Result<Option<Self>, spi::Error> {
        let text = |name: &str| row.get_by_name::<String, _>(name);
        let texts = |name: &str| {
            row.get_by_name::<Vec<String>, _>(name)
                .map(Option::unwrap_or_default)
        };
        let (Some(name), Some(url)) = (text("name")?, text("url")?) else {
            return Ok(None);
        };
        let defaults = SubscriptionOptions::new(&name, &url);
        let id: i64 = row.get_by_name("id")?.unwrap_or_default();
        let secrets = Secrets::open(
            vault,
            id,
            &texts("secrets")?,
            [texts("header_names")?, texts("header_values")?],
            [texts("tls_names")?, texts("tls_values")?],
            [texts("auth_names")?, texts("auth_values")?],
        );
        let (secrets, mut obstacle) = match secrets {
            Ok(secrets) => (secrets, None),
            Err(fault) => (
                Secrets::default(),
                Some(format!("a secret cannot be opened: {fault}")),
            ),
        };
        if obstacle.is_none() && secrets.signing.is_empty() {
            obstacle = Some("it has no secret; run herald.rotate_secret()".into());
        }
        if obstacle.is_none()
            && row.get_by_name::<i32, _>("value_count")? != i32::try_from(secrets.values).ok()
        {
            obstacle =
                Some("the values of its headers, auth or tls are gone; give them again".into());
        }
        let has_consent = row.get_by_name("has_consent")?.unwrap_or(false);
        let mut style = StyleOptions::parse(&text("style")?.unwrap_or_default());
        if let Ok(style) = &mut style
            && let Some(members) = &mut style.auth
        {
            members.extend(secrets.auth);
        }
        let options = SubscriptionOptions {
            id,
            types: texts("types")?,
            tenant: text("tenant")?,
            headers: secrets.headers,
            secrets: secrets.signing,
            request_origin: settings::request_origin(),
            rate: row
                .get_by_name::<i32, _>("consent_rate")?
                .and_then(|rate| rate.try_into().ok()),
            timeout_micros: row
                .get_by_name("timeout_micros")?
                .unwrap_or(defaults.timeout_micros),
            retry_schedule_micros: row
                .get_by_name::<Vec<i64>, _>("retry_schedule_micros")?
                .unwrap_or_default(),
            retry_jitter: row
                .get_by_name::<f32, _>("retry_jitter")?
                .map_or(defaults.retry_jitter, f64::from),
            max_attempts: row.get_by_name("max_attempts")?,
            success: row.get_by_name("success")?,
            retry_on: row.get_by_name("retry_on")?,
            timeout_delay_micros: row.get_by_name("timeout_delay_micros")?,
            max_concurrency: row
                .get_by_name("max_concurrency")?
                .unwrap_or(defaults.max_concurrency),
            max_payload: row
                .get_by_name("max_payload")?
                .unwrap_or(defaults.max_payload),
            max_age_micros: row.get_by_name("max_age_micros")?,
            retry_duration_micros: row.get_by_name("retry_duration_micros")?,
            max_backlog: row.get_by_name("max_backlog")?,
            state: text("state")?
                .and_then(|state| State::parse(&state))
                .unwrap_or(State::Paused),
            ..defaults
        };
        let is_tenants = row.get_by_name("is_tenants")?.unwrap_or(true);
        let compiled = style.and_then(|style| {
            let options = SubscriptionOptions {
                style,
                ..options.clone()
            };
            options.compile(policies.of(is_tenants))
        });
        let config = match compiled {
            Ok(config) => config,
            // What was accepted once may be refused now, when a setting was narrowed. The deliveries are held.
            Err(error) => match held(options) {
                Ok(config) => {
                    obstacle.get_or_insert(error.message());
                    config
                }
                Err(_) => {
                    pgrx::warning!(
                        "pg_herald: subscription \"{name}\" is not valid: {}",
                        error.message()
                    );
                    return Ok(None);
                }
            },
        };
        let lacks_consent = obstacle.is_none()
            && config.style.handshake.is_some()
            && config.state != State::Sandbox
            && !has_consent;
        if lacks_consent {
            let fault = text("consent_error")?.unwrap_or_else(|| "it was not asked yet".into());
            obstacle = Some(format!(
                "its receiver has not consented: {fault}; it is asked again, or run herald.grant_delivery('{name}')"
            ));
        }
        let tenant = config.tenant.as_deref().map(Arc::from);
        let Some(created_snapshot) = text("created_snapshot")?.and_then(|text| text.parse().ok())
        else {
            return Ok(None);
        };
        Ok(Some(Loaded {
            config: Arc::new(config),
            agent: AgentKey {
                tenant,
                is_tenants,
                tls: secrets.tls.map(Arc::new),
            },
            created_xid: text("created_xid")?
                .and_then(|xid| xid.parse().ok())
                .unwrap_or(0),
            created_snapshot,
            created_seq: row.get_by_name("created_seq")?.unwrap_or(0),
            lacks_consent,
            obstacle,
            secret_ends_at: row.get_by_name("secret_ends_micros")?,
        }))
    }
}

/// The quotas of all tenants, and when they are others: at the end of the month.
fn load_quotas(client: &mut SpiClient<'_>) -> (HashMap<Arc<str>, Quota>, i64) {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/load_quotas.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    let mut quotas = HashMap::with_capacity(rows.len());
    let mut outdated_at = i64::MAX;
    while rows.next().is_some() {
        let number = |name: &str| rows.get_by_name::<i64, _>(name).ok().flatten();
        let quota = Quota {
            events_per_month: number("events_per_month"),
            max_connections: number("max_connections").and_then(|most| most.try_into().ok()),
            over_quota: match rows.get_by_name("is_blocked") {
                Ok(Some(true)) => OverQuota::Blocked,
                _ => OverQuota::Throttled,
            },
            events: number("events").unwrap_or(0),
        };
        outdated_at = outdated_at.min(number("next_month_micros").unwrap_or(i64::MAX));
        if let Ok(Some(name)) = rows.get_by_name::<String, _>("name") {
            quotas.insert(name.into(), quota);
        }
    }
    (quotas, outdated_at)
}

/// A subscription's secrets, opened.
#[derive(Default)]
struct Secrets {
    signing: Vec<String>,
    headers: Vec<(String, String)>,
    tls: Option<TlsProfile>,
    /// The members of auth that are secrets.
    auth: Vec<(String, String)>,
    /// How many headers, members of tls and of auth there are.
    values: usize,
}

impl Secrets {
    fn open(
        vault: &Vault,
        id: i64,
        signing: &[String],
        headers: [Vec<String>; 2],
        tls: [Vec<String>; 2],
        auth: [Vec<String>; 2],
    ) -> Result<Self, String> {
        let open = |stored: &String, kind: &str, name: &str| {
            let about = format!("{id}/{kind}/{}", name.to_lowercase());
            vault.open(stored, &about).map(|text| text.to_string())
        };
        let open_all = |[names, stored]: [Vec<String>; 2], kind: &str| {
            let pairs = names.into_iter().zip(&stored);
            pairs
                .map(|(name, stored)| Ok((name.clone(), open(stored, kind, &name)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        let headers = open_all(headers, "header")?;
        let mut tls: HashMap<_, _> = open_all(tls, "tls")?.into_iter().collect();
        let auth = open_all(auth, "auth")?;
        Ok(Self {
            values: headers.len() + tls.len() + auth.len(),
            tls: if tls.is_empty() {
                None
            } else {
                TlsProfile::new(
                    tls.remove("ca"),
                    tls.remove("certificate"),
                    tls.remove("key"),
                )
            },
            headers,
            auth,
            signing: signing
                .iter()
                .map(|stored| open(stored, "signing", ""))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// As much of a subscription as matching needs: what matches is held until it can be sent again.
fn held(options: SubscriptionOptions) -> Result<Subscription, Error> {
    let any_url = UrlPolicy::parse(true, "0.0.0.0/0, ::/0", "").unwrap_or_default();
    let options = SubscriptionOptions {
        headers: Vec::new(),
        secrets: Vec::new(),
        style: StyleOptions::default(),
        ..options
    };
    options.compile(&any_url)
}

impl Loaded {
    /// Whether nothing may be sent to it now.
    pub fn is_held(&self) -> bool {
        !matches!(self.config.state, State::Active | State::Sandbox) || self.obstacle.is_some()
    }

    /// Whether the subscription was there when the event became visible: it gets the events of the windows that show
    /// it, except those that it was created after. The answer is the same whenever a window is read again.
    fn was_there_for(&self, logged: &Logged, window: &Window) -> bool {
        if !window.to.shows(self.created_xid) {
            return false;
        }
        if logged.xid == self.created_xid {
            return logged.event.seq > self.created_seq;
        }
        // Whatever this window adds to `from` is newer than a subscription that is older than `from`.
        self.created_snapshot.xmax() <= window.from.xmin()
            || !self.created_snapshot.shows(logged.xid)
    }
}
