//! The worker's copy of the subscriptions, and which of them an event goes to.

use crate::log::read::Window;
use crate::log::row::Logged;
use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use herald_core::matcher::Matcher;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::{State, Subscription};
use herald_core::tenants::Quota;
use herald_sender::AgentKey;
use pgrx::spi::SpiClient;
use quotas::load_quotas;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

mod quotas;
mod row;
mod secrets;

/// One subscription, and since when it is there.
#[derive(Debug)]
pub struct Loaded {
    pub config: Arc<Subscription>,
    pub agent: AgentKey,
    since: Since,
    /// Its receiver has to consent first, and has not.
    pub lacks_consent: bool,
    /// Why nothing can be sent although the subscription is active: its secret is gone, or its URL is not allowed any more.
    pub obstacle: Option<String>,
    /// When the first of its secrets ends, in microseconds since 1970.
    secret_ends_at: Option<i64>,
    /// Whether its options are known; otherwise it is only matched.
    pub is_readable: bool,
}

/// When a subscription was created. It gets the events that became visible after that.
#[derive(Debug)]
struct Since {
    xid: u64,
    snapshot: Snapshot,
    seq: i64,
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
        row::read(client, &[id], policies).pop()
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

    /// Has one of them read again with the next look.
    pub fn expire_one(&mut self, id: i64) {
        self.demanded.ids.insert(id);
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
            let mut read: HashMap<i64, Loaded> = row::read(client, ids, policies)
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
            .filter(move |one| one.since.was_there_for(logged, window))
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

impl Loaded {
    /// Whether nothing may be sent to it now.
    pub fn is_held(&self) -> bool {
        !matches!(self.config.state, State::Active | State::Sandbox) || self.obstacle.is_some()
    }
}

impl Since {
    /// Before every window that is still to be read.
    fn ever() -> Self {
        Self {
            xid: 0,
            snapshot: Snapshot::before_everything(),
            seq: 0,
        }
    }

    /// Whether the subscription was there when the event became visible: it gets the events of the windows that show
    /// it, except those that it was created after. The answer is the same whenever a window is read again.
    fn was_there_for(&self, logged: &Logged, window: &Window) -> bool {
        if !window.to.shows(self.xid) {
            return false;
        }
        if logged.xid == self.xid {
            return logged.event.seq > self.seq;
        }
        // Whatever this window adds to `from` is newer than a subscription that is older than `from`.
        self.snapshot.xmax() <= window.from.xmin() || !self.snapshot.shows(logged.xid)
    }
}
