//! Everything that the worker keeps in memory, and its turn: a list of parts that each get the time and do a little.
//!
//! If a part fails, it alone rests ([`steps`](crate::steps)). What a part decides besides storing and sending is in the
//! effects, which the caller carries out before the next part.

mod part;
mod pause;
mod state;
mod turn;
mod upkeep;

pub use self::part::Part;
pub use self::state::{Ending, Mind, Settings};
pub use self::upkeep::Turn;
