//! Housekeeping, a bounded amount at a time, between deliveries.

use std::time::Duration;

use crate::burials::BURIAL_GAP;
use crate::cleaned::{Cleaned, Part};
use crate::failure::Failure;
use crate::log::Ring;
use crate::store::{Store, Took};
use crate::time::{Moment, Now};

/// The longest pause between rounds; shorter if slots are short.
const LONGEST: Duration = Duration::from_secs(60);
/// The pause after a round that left more to do.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

/// The progress of housekeeping.
#[derive(Debug, Default)]
pub struct House {
    due: Moment,
    part: Part,
    /// More remains to be done after this round.
    has_more: bool,
}

impl House {
    pub fn is_due(&self, now: Now) -> bool {
        now.is_past(self.due)
    }

    pub fn due_in(&self, now: Now) -> Duration {
        now.until(self.due)
    }

    /// Cleans up data past its retention, a few milliseconds of a round at a time.
    pub fn keep(
        &mut self,
        ring: &mut Ring,
        store: &mut impl Store,
        now: Now,
    ) -> Result<(), Failure> {
        let Took { result, took } = store.keep_house(self.part);
        // A failing part must not stop the others.
        self.part.number += 1;
        self.take_in(result?.unwrap_or_default(), ring, took, now.after(took));
        Ok(())
    }

    fn take_in(&mut self, cleaned: Cleaned, ring: &mut Ring, took: Duration, now: Now) {
        if let Some(period_micros) = cleaned.period_micros
            && period_micros != ring.period_micros
        {
            *ring = Ring::changed(period_micros, Some(now.micros));
        }
        self.has_more |= cleaned.has_more;
        self.part = Part {
            number: cleaned.next_part,
            released_to: cleaned.released_to.unwrap_or(self.part.released_to),
        };
        let pause = if self.part.number > 0 {
            took * BURIAL_GAP
        } else if std::mem::take(&mut self.has_more) {
            SHORT_PAUSE
        } else {
            // Nothing needs cleaning up for a while.
            Duration::from_micros(ring.period_micros.unsigned_abs() / 4).min(LONGEST)
        };
        self.due = now.moment + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    const DAY: i64 = 86_400_000_000;
    const TOOK: Duration = Duration::from_millis(2);

    fn due_after(house: &mut House, cleaned: Cleaned) -> Duration {
        let mut ring = Ring::changed(DAY, None);
        house.take_in(cleaned, &mut ring, TOOK, at(0));
        house.due_in(at(0))
    }

    #[test]
    fn the_parts_of_a_round_take_a_quarter_of_the_time_and_rounds_a_minute_where_nothing_is_to_do()
    {
        let mut house = House::default();
        let part = |next_part, has_more| Cleaned {
            next_part,
            has_more,
            ..Cleaned::default()
        };
        assert_eq!(due_after(&mut house, part(1, true)), TOOK * 3);
        assert_eq!(due_after(&mut house, part(2, false)), TOOK * 3);
        // An earlier part had more to do.
        assert_eq!(due_after(&mut house, part(0, false)), SHORT_PAUSE);
        assert_eq!(due_after(&mut house, part(0, false)), LONGEST);
    }

    #[test]
    fn short_slots_are_looked_at_four_times_in_their_period() {
        let (mut house, mut ring) = (House::default(), Ring::changed(DAY, None));
        let cleaned = Cleaned {
            period_micros: Some(400_000),
            ..Cleaned::default()
        };
        house.take_in(cleaned, &mut ring, TOOK, at(0));
        assert_eq!(ring.period_micros, 400_000);
        assert_eq!(house.due_in(at(0)), Duration::from_millis(100));
    }

    #[test]
    fn what_was_released_is_not_looked_at_again() {
        let mut house = House::default();
        let released = Cleaned {
            released_to: Some(7),
            next_part: 3,
            ..Cleaned::default()
        };
        due_after(&mut house, released);
        due_after(&mut house, Cleaned::default());
        let next = Part {
            number: 0,
            released_to: 7,
        };
        assert_eq!(house.part, next);
    }
}
