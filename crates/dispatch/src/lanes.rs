//! All lanes, which of them have something to send, and what they have claimed of `herald.pending`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::lane::Lane;
use crate::ledger::MEMORY;
use crate::subscriptions::Loaded;
use crate::survey::Survey;
use crate::tenants::Tenants;
use crate::time::{Moment, Now};
use crate::work::Delivery;

/// What a lane claims at once, at most.
pub const CLAIM_SIZE: usize = 256;

/// A lane is filled up from the pending deliveries to this when it holds fewer than that.
const REFILL_TO: usize = 750;
const REFILL_BELOW: usize = 250;
/// A lane that the log keeps full takes so many all the same: retries do not wait for the end of the log.
const BESIDE_THE_LOG: usize = 100;

/// A lane whose receiver has not answered lately is sent one request at a time, and claims no more than so many.
const UNPROVEN: usize = 16;

/// So many are claimed at once, at most: more come together only where their outcomes cannot be recorded.
const MOST_CLAIMED: usize = 5_000;

/// Surveys take a tenth of the time, at most: after one there is none for so many times as long as it took.
const SURVEY_GAP: u32 = 9;

/// The lanes of all subscriptions.
#[derive(Debug)]
pub struct Lanes {
    by_id: BTreeMap<i64, Entry>,
    /// What the claimed deliveries of all of them hold in memory, in bytes, and what they should.
    claimed_bytes: usize,
    claim_memory: usize,
    /// Lanes that may have something to send, each once, served in turn.
    ready: VecDeque<i64>,
    /// Those of them, each once, that wait for one of the threads that doubtful lanes may have.
    parked: VecDeque<i64>,
    survey: Survey,
    surveyed_at: Moment,
    survey_took: Duration,
}

/// One lane, and what of `herald.pending` concerns it.
#[derive(Debug)]
pub struct Entry {
    pub lane: Lane<Delivery>,
    /// Pending deliveries that are in the lane or being sent, or whose end is not recorded yet.
    pub claimed: BTreeSet<i64>,
    /// What these hold in memory, and how many of them are set aside, which hold next to nothing.
    claimed_bytes: usize,
    aside: usize,
    /// Whatever is pending up to this due time and number, and is not claimed, is not there any more. `None` if that
    /// cannot be said. Claims go on from there: they do not read again what is claimed, nor pass over what was deleted.
    pub claimed_to: Option<(i64, i64)>,
    /// When its first pending delivery that is not claimed is due, as far as known.
    pub next_due: Option<i64>,
    /// How many of its pending deliveries are claimed at once: fewer after an event that could not be read.
    pub claim_size: usize,
    /// Rows that will be in `herald.pending` once the current batch is recorded.
    pub unrecorded: usize,
    /// Its receiver said that it is gone, and that is not written down yet.
    pub is_gone: bool,
    is_ready: bool,
    is_parked: bool,
}

/// What a lane may hold of pending deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub bytes: usize,
    /// Three quarters of the memory are taken: only lanes whose receivers answer may hold one where their share is used up.
    pub is_scarce: bool,
}

impl Entry {
    fn new(concurrency: usize) -> Self {
        Self {
            lane: Lane::new(concurrency),
            claimed: BTreeSet::new(),
            claimed_bytes: 0,
            aside: 0,
            claimed_to: None,
            next_due: None,
            claim_size: CLAIM_SIZE,
            unrecorded: 0,
            is_gone: false,
            is_ready: false,
            is_parked: false,
        }
    }

    /// Something is pending that is due at this time.
    pub fn expect_due(&mut self, at_micros: i64) {
        self.next_due = Some(self.next_due.map_or(at_micros, |due| due.min(at_micros)));
    }

    /// How many pending deliveries the lane takes now, on top of those it has, if this is its share. One it may hold all the
    /// same, and where even that is scarce, one whose receiver answers.
    pub fn room(&self, share: Share, now: i64) -> usize {
        let is_proven = self.lane.is_proven(now);
        let may_hold_one = self.claimed_bytes == 0 && (is_proven || !share.is_scarce);
        if self.byte_room(share) == 0 && !may_hold_one {
            return 0;
        }
        let wanted = if self.lane.len() < REFILL_BELOW {
            REFILL_TO - self.lane.len()
        } else if self.claimed.len() < BESIDE_THE_LOG / 2 {
            BESIDE_THE_LOG - self.claimed.len()
        } else {
            0
        };
        let most = if is_proven {
            MOST_CLAIMED
        } else {
            MOST_CLAIMED.min(UNPROVEN + self.aside)
        };
        wanted.min(most.saturating_sub(self.claimed.len()))
    }

    /// How many bytes are left of such a share.
    pub fn byte_room(&self, share: Share) -> usize {
        share.bytes.saturating_sub(self.claimed_bytes)
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::within(MEMORY)
    }
}

impl Lanes {
    /// None yet. They claim as much as half of this memory should hold.
    pub fn within(memory: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            claimed_bytes: 0,
            claim_memory: memory / 2,
            ready: VecDeque::new(),
            parked: VecDeque::new(),
            survey: Survey::default(),
            surveyed_at: Moment::default(),
            survey_took: Duration::ZERO,
        }
    }

    /// What of pending deliveries a lane may hold: a quarter of what is free. However many lanes hold on to their share,
    /// because their receivers are slow, something is left for the next one.
    pub fn share(&self) -> Share {
        Share {
            bytes: self.claim_memory.saturating_sub(self.claimed_bytes) / 4,
            is_scarce: self.claimed_bytes >= self.claim_memory / 2 * 3,
        }
    }

    /// What claimed deliveries hold in memory, in bytes.
    pub fn claimed_bytes(&self) -> usize {
        self.claimed_bytes
    }

    /// A delivery of a lane is set aside, so that the lane may claim another one for it. It has held so many bytes.
    pub fn set_aside(&mut self, delivery: &Delivery, bytes: usize) {
        self.release(delivery, bytes);
        if let Some(entry) = self.by_id.get_mut(&delivery.subscription.id) {
            entry.aside += 1;
        }
    }

    /// A delivery that was set aside is tried again.
    pub fn take_back(&mut self, delivery: &Delivery) {
        if let Some(entry) = self.claim(delivery) {
            entry.aside = entry.aside.saturating_sub(1);
        }
    }

    /// A delivery is claimed for its lane.
    pub fn claim(&mut self, delivery: &Delivery) -> Option<&mut Entry> {
        let bytes = delivery.memory();
        let entry = self.by_id.get_mut(&delivery.subscription.id)?;
        entry.claimed.insert(delivery.event.seq);
        entry.claimed_bytes += bytes;
        self.claimed_bytes += bytes;
        Some(entry)
    }

    /// A claimed delivery holds so many bytes less.
    pub fn release(&mut self, delivery: &Delivery, bytes: usize) {
        if let Some(entry) = self.by_id.get_mut(&delivery.subscription.id) {
            let bytes = bytes.min(entry.claimed_bytes);
            entry.claimed_bytes -= bytes;
            self.claimed_bytes -= bytes;
        }
    }

    /// Goes by the options of a subscription, which may be new.
    pub fn configure(&mut self, loaded: &Loaded, tenants: &Tenants) {
        let (id, concurrency) = (loaded.config.id, loaded.config.max_concurrency);
        let entry = self
            .by_id
            .entry(id)
            .or_insert_with(|| Entry::new(concurrency));
        let is_held =
            entry.is_gone || loaded.is_held() || tenants.is_held(loaded.agent.tenant.as_deref());
        entry.lane.configure(concurrency, is_held);
        entry.lane.set_rate(loaded.config.rate);
        entry.lane.spare(loaded.spare_until);
        self.make_ready(id);
    }

    /// Takes out the lane of a subscription that exists no more. Returns its deliveries.
    pub fn remove(&mut self, id: i64) -> Vec<Delivery> {
        let Some(mut entry) = self.by_id.remove(&id) else {
            return Vec::new();
        };
        self.claimed_bytes -= entry.claimed_bytes;
        entry.lane.spill().collect()
    }

    pub fn get(&mut self, id: i64) -> Option<&mut Entry> {
        self.by_id.get_mut(&id)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.by_id.keys().copied().collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut Entry)> {
        self.by_id.iter_mut().map(|(id, entry)| (*id, entry))
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Entry)> {
        self.by_id.iter().map(|(id, entry)| (*id, entry))
    }

    /// Says that the lane may have something to send.
    pub fn make_ready(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id)
            && !entry.is_ready
            && !entry.lane.is_empty()
        {
            entry.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Whether a lane has something to send, as far as known, and waits for a thread.
    pub fn any_waiting(&self) -> bool {
        !self.ready.is_empty() || !self.parked.is_empty()
    }

    /// The lane has something to send, and there is no thread for doubtful lanes.
    pub fn park(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id)
            && !entry.is_parked
        {
            entry.is_parked = true;
            self.parked.push_back(id);
        }
    }

    /// The next lane in turn that may have something to send; those that are parked only if there is a thread for them.
    pub fn take_ready(&mut self, may_be_doubtful: bool) -> Option<i64> {
        if may_be_doubtful && let Some(id) = self.parked.pop_front() {
            if let Some(entry) = self.by_id.get_mut(&id) {
                entry.is_parked = false;
            }
            return Some(id);
        }
        let id = self.ready.pop_front()?;
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.is_ready = false;
        }
        Some(id)
    }

    /// What the lanes are like, as of the last survey.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// When a lane may claim next, until the next survey.
    pub fn expect_first_due(&mut self, at_micros: Option<i64>) {
        self.survey.first_due = at_micros;
    }

    /// How long the next survey has to wait: surveys take a part of the time only.
    pub fn until_survey(&self, now: Now) -> Duration {
        now.until(self.surveyed_at + self.survey_took * SURVEY_GAP)
    }

    /// Looks at all lanes.
    pub fn take_survey(&mut self, now_micros: i64) {
        self.survey = Survey::of(self.by_id.values(), self.share(), now_micros);
    }

    /// A survey ended now and took so long.
    pub fn surveyed(&mut self, now: Now, took: Duration) {
        self.surveyed_at = now.moment;
        self.survey_took = took;
    }
}
