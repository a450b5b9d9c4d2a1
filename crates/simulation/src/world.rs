//! The world: everything in a run except the worker.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use herald_dispatch::store::Point;

use crate::chance;
use crate::clock::Clock;
use crate::database::Database;
use crate::database::rows::Subscriptions;
use crate::deed::{Step, When};
use crate::file::File;
use crate::receivers::Receivers;
use crate::story::Story;
use crate::troubles::Troubles;
use crate::witness::Witness;

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub clock: Clock,
    pub database: Database,
    pub receivers: Receivers,
    pub troubles: Troubles,
    pub(crate) witness: Witness,
    /// The breakers that are open, as the worker noted them.
    pub(crate) breakers: BTreeMap<i64, i64>,
    pub story: Story,
    /// The steps still to be done, and when the last step was due.
    pub agenda: VecDeque<Step>,
    pub acted_at: i64,
    /// Steps to be done within the next look.
    pub in_look: Vec<(When, Step)>,
    pub worker: Orders,
    /// Subscriptions as of the worker's last look.
    pub known: Subscriptions,
    pub judged_at: i64,
    pub file: File,
    /// Some events are scheduled.
    pub has_scheduled: bool,
    /// How often the worker did something that has a cost.
    pub efforts: u64,
}

/// Orders to the worker.
#[derive(Debug)]
pub struct Orders {
    /// Which fraction of what is not flushed survives, and how long the server is down.
    pub crash: Option<(f64, i64)>,
    pub crash_at: Option<(Point, f64, i64)>,
    /// How long until another worker starts.
    pub stop: Option<i64>,
    pub is_enabled: bool,
    pub always_pending: bool,
    pub has_new_settings: bool,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            crash: None,
            crash_at: None,
            stop: None,
            is_enabled: true,
            always_pending: false,
            has_new_settings: false,
        }
    }
}

impl World {
    pub fn new(seed: u64, agenda: impl IntoIterator<Item = Step>, story: Story) -> Self {
        // Drawn separately, so that stored seeds still give the same schedules.
        let has_scheduled = chance::dice(seed, &[0x5ced]).u8(..6) == 0;
        let mut world = Self {
            has_scheduled,
            seed,
            clock: Clock::default(),
            database: Database::default(),
            receivers: Receivers::default(),
            troubles: Troubles::default(),
            witness: Witness::default(),
            breakers: BTreeMap::new(),
            story,
            agenda: agenda.into_iter().collect(),
            acted_at: 0,
            in_look: Vec::new(),
            worker: Orders::default(),
            known: Subscriptions::default(),
            judged_at: 0,
            file: File::default(),
            efforts: 0,
        };
        world.database.install();
        world
    }

    /// Returns when the next step is due, in microseconds since the beginning.
    pub fn next_step_at(&self) -> Option<i64> {
        Some(self.acted_at + self.agenda.front()?.gap)
    }

    /// Returns whether the worker has crashed.
    pub fn has_crashed(&self) -> bool {
        self.worker.crash.is_some()
    }

    pub fn reached(&mut self, point: Point) {
        if let Some((at, found, down_for)) = self.worker.crash_at
            && at == point
        {
            self.worker.crash_at = None;
            self.worker.crash = Some((found, down_for));
            self.story
                .tell(&self.clock, || format!("the server crashes at {point:?}"));
        }
    }
}

/// The world, which the worker's store and its courier share.
#[derive(Debug, Clone)]
pub struct Shared(pub Rc<RefCell<World>>);

impl Shared {
    pub fn new(world: World) -> Self {
        Self(Rc::new(RefCell::new(world)))
    }
}
