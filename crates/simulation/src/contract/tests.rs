//! The modelled store keeps the contract.

use std::sync::Arc;

use herald_core::subscription::Subscription;
use herald_dispatch::log::{Position, Ring};

use super::*;
use crate::database::Durability;
use crate::deed::{Deed, Kind, Step, When, Wish};
use crate::story::Story;
use crate::world::{Shared, World};

struct Modelled(Shared, u64);

impl Modelled {
    fn new() -> Self {
        let world = World::new(1, [], Story::default());
        let mut modelled = Self(Shared::new(world), 0);
        let wish = Wish {
            wants: None,
            tenant: None,
            max_concurrency: 1,
            max_attempts: None,
            retry_schedule: vec![1_000_000],
            timeout: 1_000_000,
            max_backlog: None,
            max_age: None,
            rate: None,
            rate_limit: None,
            breaker: None,
            ordering: None,
            survives_gone: false,
        };
        modelled.does(Deed::Subscribe {
            session: 0,
            id: 1,
            wish,
        });
        modelled.commit(0, true);
        modelled
    }

    fn does(&mut self, deed: Deed) {
        self.1 += 1;
        self.0.0.borrow_mut().do_step(&Step {
            number: self.1,
            gap: 0,
            when: When::Then,
            deed,
        });
    }
}

impl Subject for Modelled {
    type Store = Shared;

    fn store(&mut self) -> &mut Shared {
        &mut self.0
    }

    fn begin(&mut self, session: u8, events: u16) {
        let kind = Kind {
            r#type: 0,
            tenant: None,
            bytes: 0,
        };
        self.does(Deed::Emit {
            session,
            kind,
            count: events,
        });
    }

    fn commit(&mut self, session: u8, is_flushed: bool) {
        let durability = match is_flushed {
            true => Durability::Flushed,
            false => Durability::Asynchronous,
        };
        self.does(Deed::Commit {
            session,
            durability,
        });
    }

    fn roll_back(&mut self, session: u8) {
        self.does(Deed::RollBack { session });
    }

    fn subscription(&mut self) -> Arc<Subscription> {
        let world = self.0.0.borrow();
        Arc::clone(&world.database.tables.subscriptions[&1].config)
    }

    fn now(&self) -> i64 {
        self.0.0.borrow().clock.wall()
    }

    fn ring(&mut self) -> Ring {
        Ring::changed(crate::users::PERIOD, None)
    }

    fn change_url(&mut self) {
        self.does(Deed::ChangeUrl { id: 1 });
    }

    fn limit_backlog(&mut self, most: u32) {
        let world = &mut *self.0.0.borrow_mut();
        world.change(1, |config| config.max_backlog = Some(most.into()));
    }

    fn discard(&mut self) {
        self.does(Deed::Discard { id: 1 });
    }

    fn has_open_windows(&mut self) -> bool {
        let world = self.0.0.borrow();
        let mut windows = world.database.tables.windows.values();
        windows.any(|row| !row.is_closed)
    }

    fn lock(&mut self, seq: i64) {
        self.0.0.borrow_mut().troubles.lock((1, seq), i64::MAX);
    }

    fn position(&mut self) -> Position {
        let mut world = self.0.0.borrow_mut();
        let floor = world.database.sequence.last();
        Position::restored(world.database.snapshot(), floor)
    }
}

#[test]
fn the_modelled_store_keeps_every_claim() {
    for (_, claim) in claims() {
        claim(&mut Modelled::new());
    }
}
