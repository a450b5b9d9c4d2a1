//! All that the worker keeps in memory, and its turn: a list of parts, of which each is told the time and does a little.
//!
//! A part may fail, and then it rests, alone ([`steps`](crate::steps)). What a part decided beside what is stored and sent
//! is in the effects, which the caller sees to before the next part.

mod pause;
mod turn;

use std::time::Duration;

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
use crate::reader::Reader;
use crate::report::Report;
use crate::settle::Shortage;
use crate::shedding::Shedding;
use crate::steps::Steps;
use crate::store::Store;
use crate::subscriptions::Subscriptions;
use crate::suspects::Suspects;
use crate::time::{Moment, Now};
use crate::tokens::Tokens;
use crate::work::Work;

pub use self::turn::{Part, TURN};

/// What a DBA sets that changes while the worker runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub is_enabled: bool,
    /// Everything goes through `herald.pending`.
    pub always_pending: bool,
    /// How often there is a look for work without being woken.
    pub poll_interval: Duration,
    /// Requests that may be young at once.
    pub threads: usize,
    /// What deliveries may hold in memory, in bytes: [`MEMORY`](crate::ledger::MEMORY).
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

/// What the worker keeps in memory. Rooms have parts of it as their arguments, never all of it.
#[derive(Debug)]
pub struct Mind {
    pub settings: Settings,
    pub lanes: Lanes,
    pub pings: Pings,
    /// It ends when the turn is over.
    pub ending: Option<Ending>,
    subscriptions: Subscriptions,
    looks: Looks,
    report: Report,
    reader: Reader,
    ring: Ring,
    gate: Gate,
    ledger: Ledger,
    unknown: Unknown,
    consents: Consents,
    burials: Burials,
    shedding: Shedding,
    house: House,
    tokens: Tokens,
    shortage: Shortage,
    steps: Steps,
    /// Notices of changes that are loaded wait to be deleted.
    has_notices: bool,
    configuration_looked_at: Moment,
}

impl Mind {
    /// What a worker begins with: where the log is read on, and what its predecessor left under suspicion.
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
            burials: Burials::default(),
            shedding: Shedding::default(),
            house: House::default(),
            tokens: Tokens::default(),
            shortage: Shortage::default(),
            steps: Steps::default(),
            has_notices: false,
            configuration_looked_at: Moment::default(),
        }
    }

    /// What deliveries and their outcomes hold in memory, in bytes.
    pub fn memory(&self) -> usize {
        self.ledger.memory()
    }

    /// Stops, for another worker to take over.
    pub fn start_again(&mut self, why: &str, effects: &mut Effects) {
        let words = format!("the worker starts again: {why}");
        effects.push(Effect::Log(words));
        self.ending = Some(Ending::StartAgain);
    }

    /// Goes by these settings from here on.
    pub fn take_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.report.took_settings();
        // The file with the key of their secrets.
        self.subscriptions.expire();
        self.looks.is_wanted = true;
    }

    /// The sender took these and sends them no more.
    pub fn take_back(&mut self, unsent: impl IntoIterator<Item = Work>) {
        for work in unsent {
            let lane = work.subscription().id;
            self.gate.threads.finish(work.token(), lane);
        }
    }

    /// Writes what can be written at the end of the worker's life.
    pub fn record_last(
        &mut self,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), Failure> {
        self.recording(store, effects).record_last(now)
    }
}
