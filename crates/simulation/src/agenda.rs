//! The agenda: its steps are done when they are due, or within a look.

use crate::deed::When;
use crate::world::World;

impl World {
    /// Does the steps that are due by now.
    pub fn act(&mut self) {
        self.database.flush_older(self.clock.elapsed);
        while let Some(at) = self.next_step_at()
            && at <= self.clock.elapsed
            && let Some(step) = self.agenda.pop_front()
        {
            self.acted_at = at;
            match step.when {
                When::Then => self.do_step(&step),
                when => self.in_look.push((when, step)),
            }
        }
    }

    /// Does the steps to be done within a look.
    pub fn act_in_look(&mut self, when: When) {
        for (_, step) in self
            .in_look
            .extract_if(.., |(then, _)| *then == when)
            .collect::<Vec<_>>()
        {
            self.do_step(&step);
        }
    }
}
