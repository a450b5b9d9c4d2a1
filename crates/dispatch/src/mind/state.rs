//! Everything that the worker keeps in memory.

use std::time::Duration;

use super::upkeep::Upkeep;
use crate::burials::Burials;
use crate::claim::Unknown;
use crate::consent::Consents;
use crate::effects::{Effect, Effects};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::house::House;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::log::Ring;
use crate::looks::Looks;
use crate::pings::Pings;
use crate::probes::Probes;
use crate::reader::Reader;
use crate::recording::Recording;
use crate::report::Report;
use crate::scheduled::Scheduled;
use crate::settle::Shortage;
use crate::shedding::Shedding;
use crate::steps::Steps;
use crate::store::Store;
use crate::subscriptions::Subscriptions;
use crate::suspects::Suspects;
use crate::time::{Moment, Now};
use crate::tokens::Tokens;
use crate::work::Work;

/// A DBA's settings that may change while the worker runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub is_enabled: bool,
    /// All deliveries go through `herald.pending`.
    pub always_pending: bool,
    /// How often the worker looks for work without being woken.
    pub poll_interval: Duration,
    /// Requests that may be young at once.
    pub threads: usize,
    /// The memory that deliveries may hold, in bytes: [`MEMORY`](crate::ledger::MEMORY).
    pub memory: usize,
}

/// How the worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do in this database.
    Stop,
    /// Another worker takes over, with other settings.
    StartAgain,
}

/// Everything that the worker keeps in memory. Modules take parts of it as arguments, never all of it.
#[derive(Debug)]
pub struct Mind {
    pub settings: Settings,
    pub lanes: Lanes,
    pub pings: Pings,
    /// Set if the worker ends after this turn.
    pub ending: Option<Ending>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) looks: Looks,
    pub(crate) report: Report,
    pub(crate) reader: Reader,
    pub(crate) ring: Ring,
    pub(crate) gate: Gate,
    pub(crate) ledger: Ledger,
    pub(crate) unknown: Unknown,
    pub(crate) consents: Consents,
    pub(crate) probes: Probes,
    pub(crate) burials: Burials,
    pub(crate) shedding: Shedding,
    pub(crate) scheduled: Scheduled,
    pub(crate) house: House,
    pub(crate) tokens: Tokens,
    pub(crate) shortage: Shortage,
    pub(crate) steps: Steps,
    pub(crate) upkeep: Upkeep,
    pub(crate) part_began: Moment,
    /// Notices of loaded changes wait to be deleted.
    pub(crate) has_notices: bool,
    pub(crate) configuration_looked_at: Moment,
}

impl Mind {
    /// Returns what a worker begins with: the place to continue reading the log, and its predecessor's suspects.
    pub fn new(settings: Settings, reader: Reader, ring: Ring, suspects: Suspects) -> Self {
        Self {
            gate: Gate::new(settings.threads, suspects),
            settings,
            subscriptions: Subscriptions::unloaded(),
            pings: Pings::default(),
            looks: Looks::default(),
            lanes: Lanes::within(settings.memory),
            report: Report::default(),
            ending: None,
            reader,
            ring,
            ledger: Ledger::default(),
            unknown: Unknown::default(),
            consents: Consents::default(),
            probes: Probes::default(),
            burials: Burials::default(),
            shedding: Shedding::default(),
            scheduled: Scheduled::default(),
            house: House::default(),
            tokens: Tokens::default(),
            shortage: Shortage::default(),
            steps: Steps::default(),
            upkeep: Upkeep::default(),
            part_began: Moment::default(),
            has_notices: false,
            configuration_looked_at: Moment::default(),
        }
    }

    /// Returns the memory that deliveries and their outcomes hold, in bytes.
    pub fn memory(&self) -> usize {
        self.ledger.memory()
    }

    /// Stops the worker, so that another takes over.
    pub fn start_again(&mut self, why: &str, effects: &mut Effects) {
        let words = format!("restarting the worker: {why}");
        effects.push(Effect::Log(words));
        self.ending = Some(Ending::StartAgain);
    }

    /// Applies these settings from now on.
    pub fn take_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.report.took_settings();
        // The file with the key to their secrets may have changed.
        self.subscriptions.expire();
        self.looks.is_wanted = true;
    }

    /// Frees the threads of work that the sender took but will not send.
    pub fn take_back(&mut self, unsent: impl IntoIterator<Item = Work>) {
        for work in unsent {
            let lane = work.subscription().id;
            self.gate.threads.finish(work.token(), lane);
        }
    }

    /// Records as much as possible at the end of the worker's life.
    pub fn record_last(
        &mut self,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), Failure> {
        self.recording(store, effects).record_last(now)
    }

    /// Lends recording the parts that it needs.
    pub(crate) fn recording<'a, S: Store>(
        &'a mut self,
        store: &'a mut S,
        effects: &'a mut Effects,
    ) -> Recording<'a, S> {
        Recording {
            lanes: &mut self.lanes,
            gate: &mut self.gate,
            ledger: &mut self.ledger,
            burials: &mut self.burials,
            shedding: &mut self.shedding,
            scheduled: &mut self.scheduled,
            subscriptions: &self.subscriptions,
            store,
            effects,
            ring: self.ring,
        }
    }
}
